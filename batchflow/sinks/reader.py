"""Reading a run's results for the command line: in input order, streamed, beside other readers."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from batchflow import files
from batchflow.errors import SetupError
from batchflow.sinks import layout, views
from batchflow.sinks.connection import StoreUser, explained, open_for_reading
from batchflow.sinks.formats import Format, parquet_parts, write_csv, write_json, write_parquet
from batchflow.sinks.model import BadLine
from batchflow.sources.database import literal

_PART_REQUESTS: Final = 20_000
_FEW_REQUESTS: Final = 100
_PART_CHARACTERS: Final = 8_000_000
_SAMPLE: Final = 500
_BLOCK: Final = 1 << 20


class Counts(NamedTuple):
    """Requests of a run: all, those with a final outcome, those that are answered."""

    simulated: bool
    requests: int
    final: int
    answered: int


class _Walk(NamedTuple):
    """How the rows of a run are gone through: first and last number, rows of a part, and their requests."""

    first: int
    last: int
    step: int
    requests: int


class Reader(StoreUser):
    """A run's results have the shape of the view `results`, whichever run of its experiment is the current one."""

    def holds(self, run_id: str) -> bool:
        """Whether the run is in the tables."""
        with explained(self._store.path):
            known = self._store.rows("SELECT 1 FROM runs WHERE run_id = ?", [run_id])
            return bool(known) and run_id in layout.runs_with(self._store, layout.DATA)

    def current(self, experiment: str) -> str | None:
        """The run of this experiment that the view `results` shows; None if it shows none."""
        with explained(self._store.path):
            of = dict(self._store.rows("SELECT run_id, experiment FROM runs"))
            return next((run for run in views.current_runs(self._store) if of[run] == experiment), None)

    def simulated(self, run_id: str | None) -> bool:
        """Whether answers of the run, or of one that `results` shows, are simulated. Errors: SetupError that names the
        runs that are there.
        """
        with explained(self._store.path):
            simulated = dict(self._store.rows("SELECT run_id, simulated FROM runs ORDER BY created_at"))
            if run_id is None:
                return any(simulated[run] for run in views.current_runs(self._store))
        if not self.holds(run_id):
            raise SetupError(
                f"{self._store.path} does not hold the run {run_id}",
                hint=f"it holds {', '.join(simulated) or 'none'}; `batchflow load RUN` loads one from its folder",
            )
        return bool(simulated[run_id])

    def columns(self, run_id: str) -> list[str]:
        """The names of the columns. Errors: SetupError if the run is not in the database."""
        self._check(run_id)
        with explained(self._store.path):
            described = self._store.rows(f"DESCRIBE {views.select_run(self._store, run_id)}")
        return [row[0] for row in described]

    def rows(self, run_id: str, limit: int | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows in input order, all of them or the first few. Errors: as `columns`."""
        for query in self._queries(run_id, at_first=_FEW_REQUESTS):
            with explained(self._store.path):
                rows = self._store.with_room(partial(self._store.rows, query))
            yield from rows[:limit]
            limit = None if limit is None else max(0, limit - len(rows))
            if limit == 0:
                return

    def write(
        self, run_id: str, form: Format, target: Path | BinaryIO, *, safe_csv: bool = False, look: bool = False
    ) -> int:
        """All rows in a format of `formats`, to a file (whole or absent) or an open binary stream.

        safe_csv, look: see `formats.write_csv`, whose number is returned. Errors: as `columns`.
        """
        self._check(run_id)
        if form is Format.PARQUET and isinstance(target, Path):
            self._parquet_file(run_id, target)
            return 0
        with (
            files.scratch_folder() as scratch,
            files.atomic_writer(target) if isinstance(target, Path) else nullcontext(target) as handle,
        ):
            if form is Format.CSV:
                return write_csv(self._store, self._queries(run_id), scratch, handle, safe=safe_csv, look=look)
            if form is Format.PARQUET:
                whole = scratch / "whole.parquet"
                self._parquet_file(run_id, whole)
                with whole.open("rb") as made:
                    shutil.copyfileobj(made, handle, _BLOCK)
            else:
                write_json(self._store, self._queries(run_id), scratch, handle, lines=form is Format.JSONL)
        return 0

    def _parquet_file(self, run_id: str, target: Path) -> None:
        """The parts lie beside the file: the system's place for temporary files may be memory, or small."""
        requests = self._walk(run_id).requests
        with files.scratch_folder(target.parent) as scratch:
            whole = scratch / "whole.parquet"
            write_parquet(self._store, self._queries(run_id), scratch, whole, group=requests)
            files.publish(whole, target)

    def bad_lines(self, run_id: str, limit: int) -> list[BadLine]:
        """The first lines of the run's response files that are no results. Errors: as `columns`."""
        self._check(run_id)
        query = (
            "SELECT file, line_no, text, error FROM bad_lines WHERE run_id = ? ORDER BY round, file, line_no LIMIT ?"
        )
        with explained(self._store.path):
            return [BadLine(*row) for row in self._store.rows(query, [run_id, limit])]

    def write_parquet(self, run_id: str, folder: Path) -> tuple[Path, ...]:
        """All rows as parquet files, which follow one another in input order. Errors: as `columns`."""
        return tuple(parquet_parts(self._store, self._queries(run_id), folder))

    def counts(self, run_id: str) -> Counts:
        """What is in the tables of a run. Errors: as `columns`."""
        self._check(run_id)
        query = (
            "SELECT r.simulated, count(*), count(*) FILTER (q.owed IS NULL), count(*) FILTER (a.outcome = 'answered')"
            f" {views.REQUESTS} WHERE q.run_id = ? GROUP BY 1"
        )
        with explained(self._store.path):
            return Counts(*self._store.rows(query, [run_id])[0])

    def _queries(self, run_id: str, *, at_first: int | None = None) -> Iterator[str]:
        """One query after the other that together give all rows in order: a join or a sort of all at once would take
        memory with their number. at_first: rows of the first one, where few may be enough; each next one has more.
        """
        self._check(run_id)
        with explained(self._store.path):
            shape = views.shape_of(self._store, run_id)
        start = 1
        if at_first:  # without a look at all of them
            few = self._few(run_id, at_first)
            yield self._part(shape, start, few)
            start += few
        first, last, most, _ = self._walk(run_id)
        start, step = max(first, start), min(most, 8 * start if at_first else most)
        while start <= last:
            end = min(last, start + step - 1)
            yield self._part(shape, start, end)
            start, step = end + 1, min(most, 8 * step)

    def _few(self, run_id: str, rows: int) -> int:
        """So many of the first rows, fewer where they have many requests, or long texts."""
        query = "SELECT count(*) FROM requests WHERE run_id = ? AND row_number <= ?"
        with explained(self._store.path):
            requests, most = self._store.number(query, [run_id, rows]), self._most(run_id)
        return max(1, min(rows, most * rows // max(1, requests)))

    def _part(self, shape: views.Shape, first: int, last: int) -> str:
        """The query of the rows with these numbers; where the run has none of them, of none."""
        with explained(self._store.path):
            least, greatest = self._store.rows(
                "SELECT coalesce(min(asked), ''), coalesce(max(asked), '') "
                "FROM (SELECT row_number, run_id, coalesce(asked_as, custom_id) AS asked FROM requests) "
                "WHERE run_id = ? AND row_number BETWEEN ? AND ?",
                [shape.run_id, first, last],
            )[0]
        return views.select_part(shape, views.Part(first, last, least, greatest))

    def _walk(self, run_id: str) -> "_Walk":
        with explained(self._store.path):
            first, last, requests = self._store.rows(
                "SELECT coalesce(min(row_number), 1), coalesce(max(row_number), 0), count(*) FROM requests "
                "WHERE run_id = ?",
                [run_id],
            )[0]
            most = self._most(run_id)
        per_row = max(1, requests // max(1, last - first + 1))
        step = max(1, most // per_row)
        return _Walk(first, last, step, step * per_row)

    def _most(self, run_id: str) -> int:
        """How many requests are asked for together."""
        return min(_PART_REQUESTS, _PART_CHARACTERS // self._request_size(run_id))

    def _request_size(self, run_id: str) -> int:
        """Characters of data and answer per request, from the first ones."""
        samples = [
            f"SELECT CAST(d AS VARCHAR) AS text FROM {layout.run_table(schema, run_id)} d LIMIT {_SAMPLE}"
            for schema in (layout.DATA, layout.ANSWERS)
            if run_id in layout.runs_with(self._store, schema)
        ]
        samples.append(f"SELECT content AS text FROM responses WHERE run_id = {literal(run_id)} LIMIT {_SAMPLE}")
        query = "SELECT CAST(coalesce(avg(length(text)), 0) AS BIGINT) FROM ({})"
        counts = [partial(self._store.number, query.format(sample)) for sample in samples]
        return 1 + sum(self._store.with_room(count) for count in counts)

    def _check(self, run_id: str) -> None:
        if not self.holds(run_id):
            raise SetupError(
                f"{self._store.path} does not hold the run {run_id}",
                hint=f"`batchflow load {run_id}` loads it from its folder",
            )


def open_reader(path: Path) -> Reader:
    """Open the results for reading.

    Errors: DatabaseHeld (a program writes to it), SetupError (no such file, no results in it), SinkError.
    """
    store = open_for_reading(path)
    try:
        with explained(path):
            layout.require(store)
    except BaseException:
        store.close()
        raise
    return Reader(store)
