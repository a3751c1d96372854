"""The requests of round 1 as they are built: collected in a scratch file, given their draws and keys by DuckDB, and
written as their map.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from batchflow import files
from batchflow.sources.database import PACKED, literal, parquet, pattern
from batchflow.sources.maps import KEY, ROW_ORDER, Finished, Gathering, key_values, publish

_SPANS_AT_ONCE: Final = 10_000
# Above so many requests one thing is done after the other, each on disk: DuckDB needs memory for all that a query does.
# Ids are joined by number then, since a join by place holds its right side in memory.
_AT_ONCE: Final = 2_000_000
_BUFFER: Final = 4_000_000  # bytes; with more DuckDB keeps more of a file in memory
# what a custom_id says
NUMBERS: Final = (
    "split_part(custom_id, '-', 1)::BIGINT AS row_number, split_part(custom_id, '-', 2)::INTEGER AS condition, "
    "split_part(custom_id, '-', 3)::INTEGER AS replicate"
)


class RequestWriter(Gathering):
    """Collects the requests of round 1 in row order. rows: the stored rows that they ask."""

    def __init__(self, rows: Path, tables: str) -> None:
        super().__init__(tables)
        self._rows, self._stack = rows, ExitStack()
        self._path = self._stack.enter_context(files.scratch_folder()) / "requests"
        self._spool = files.SpoolFile(self._path)

    def add(self, names: Sequence[bytes], hashes: Sequence[bytes]) -> None:
        """The custom_ids of some requests, and the sha256 of each body in hex."""
        pieces = [b"", b",", b"", b"\n"] * len(names)
        pieces[::4], pieces[2::4] = names, hashes
        self._spool.write(b"".join(pieces))

    def _added(self) -> str:
        """All requests in a FROM clause, in order."""
        self._spool.close()
        return (
            f"read_csv({literal(pattern(self._path))}, columns={{'custom_id': 'VARCHAR', 'body_sha256': 'VARCHAR'}}, "
            "auto_detect=false, header=false, delim=',', quote='', escape='', compression='none', new_line='\\n', "
            f"hive_partitioning=false, max_line_size={_BUFFER}, buffer_size={_BUFFER})"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()
        self._stack.close()
        super().__exit__(kind, error, trace)


class MapWriter(RequestWriter):
    """Collects requests that all are asked; `finish` gives each its draw and key and writes the map.

    replicates: of every prompt. each: how many requests every row has, which follow one another; None where rows
    differ.
    """

    def __init__(self, rows: Path, *, replicates: int = 1, each: int | None = None) -> None:
        super().__init__(rows, "CREATE TABLE spans (shard INTEGER, line INTEGER, lines INTEGER)")
        self._replicates, self._each = replicates, each
        self._spans: list[Sequence[int]] = []
        self._placed, self._sorted = 0, True

    def place(self, spans: Iterable[Sequence[int]]) -> None:
        """Where the requests were put, in their order: shard, line of the first, and how many follow one another."""
        for span in spans:
            self._sorted &= not self._spans or span[0] >= self._spans[-1][0]
            self._placed += span[2]
            self._spans.append(span)
        if len(self._spans) >= _SPANS_AT_ONCE:
            self._keep(self._spans[:-1])

    def _keep(self, spans: Sequence[Sequence[int]]) -> None:
        """Put spans into the table: with several models there are as many as requests."""
        with self._con.appender("spans") as appender:
            appender.append_rows(spans)
        del self._spans[: len(spans)]

    def finish(self, target: Path, scope: str, endpoint: str) -> Finished:
        added = self._added()
        self._keep(self._spans)
        finished, all_differ = self._counted(added)
        if self._placed != finished.requests:
            raise AssertionError("requests have no place, or several")
        placed = (
            f"SELECT custom_id, {NUMBERS}, body_sha256, shard, line FROM {added} POSITIONAL JOIN "
            "(SELECT shard, unnest(generate_series(line, line + lines - 1))::INTEGER AS line FROM spans)"
        )
        draw = "replicate::BIGINT" if all_differ else f"row_number() OVER (PARTITION BY body_sha256 {ROW_ORDER})"
        many = finished.requests > _AT_ONCE
        drawn = f"SELECT *, {draw} AS draw FROM ({self._aside('placed', placed) if many else placed})"
        drawn = self._aside("drawn", drawn) if many else drawn
        columns = "custom_id, row_number, row_id, condition, replicate, draw, body_sha256, shard, line"
        publish(
            self._con,
            f"SELECT * EXCLUDE (body_sha256, shard, line), {KEY} AS request_key, shard, line "
            f"FROM (SELECT {columns} FROM ({drawn}) {self._beside(in_order=all_differ and not many)})",
            target,
            key_values(scope, endpoint),
        )
        return finished

    def _aside(self, name: str, query: str) -> str:
        """A query of what the query gives, which is on disk then."""
        path = self._path.with_name(f"{name}.parquet")
        self._con.execute(f"COPY ({query}) TO {literal(str(path))} ({PACKED})")
        return f"SELECT * FROM {parquet(path)}"

    def _counted(self, added: str) -> tuple[Finished, bool]:
        """What there is, and whether no two prompts are equal; each has as many requests as there are replicates."""
        look = "SELECT count(*), count(DISTINCT hash(body_sha256)) FROM "
        ((requests, hashes),) = self._con.execute(look + added).fetchall()
        if hashes * self._replicates == requests:
            return Finished(requests, hashes), True
        ((distinct,),) = self._con.execute(f"SELECT count(DISTINCT body_sha256) FROM {added}").fetchall()
        return Finished(requests, distinct), False

    def _beside(self, *, in_order: bool) -> str:
        """The ids of the rows, joined; by their place where everything is in order."""
        if in_order and self._each is not None:
            ids = f"SELECT row_id, unnest(generate_series(1, {self._each})) FROM {parquet(self._rows)}"
            ordered = "" if self._sorted else " ORDER BY shard, line"
            return f"POSITIONAL JOIN (SELECT row_id FROM ({ids})){ordered}"
        return f"JOIN (SELECT row_number, row_id FROM {parquet(self._rows)}) USING (row_number) ORDER BY shard, line"
