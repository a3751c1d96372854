"""Reading a run's results for the command line: in input order, streamed, beside other readers."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from batchflow import files
from batchflow.errors import EnvironmentError_
from batchflow.sinks import layout, views
from batchflow.sinks.connection import Store, explained, open_for_reading
from batchflow.sources.database import literal

_FETCH: Final = 500
_BLOCK: Final = 1 << 20


class Reader:
    """A run's results have the shape of the view `results`, whichever run of its experiment is the current one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def columns(self, run_id: str) -> list[str]:
        """The names of the columns. Errors: EnvironmentError_ if the run is not in the database."""
        with explained(self._store.path):
            described = self._store.rows(f"DESCRIBE {self._select(run_id)}")
        return [row[0] for row in described]

    def rows(self, run_id: str, limit: int | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows in input order, all of them or the first few. Errors: as `columns`."""
        query = self._ordered(run_id) + ("" if limit is None else f" LIMIT {limit:d}")
        cursor = self._store.connection.cursor()
        try:
            with explained(self._store.path):
                cursor.execute("USE store")
                cursor.execute(query)
                while rows := cursor.fetchmany(_FETCH):
                    yield from rows
        finally:
            cursor.close()

    def write_csv(self, run_id: str, target: Path | BinaryIO) -> None:
        """All rows as CSV, to a file (whole or absent) or an open binary stream: UTF-8, a header, line feeds; what is
        missing stays empty, an empty text is `""`. Errors: as `columns`.
        """
        if isinstance(target, Path):
            temporary = files.temporary_for(target)
            try:
                self._copy(run_id, temporary)
                files.publish(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            return
        with files.scratch_folder() as scratch:
            copy = scratch / "results.csv"
            self._copy(run_id, copy)
            with copy.open("rb") as handle:
                shutil.copyfileobj(handle, target, _BLOCK)

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _copy(self, run_id: str, target: Path) -> None:
        query = self._ordered(run_id)
        with explained(target):
            self._store.connection.execute(f"COPY ({query}) TO {literal(str(target))} (FORMAT csv, HEADER)")

    def _ordered(self, run_id: str) -> str:
        return f"{self._select(run_id)} ORDER BY {views.INPUT_ORDER}"

    def _select(self, run_id: str) -> str:
        with explained(self._store.path):
            known = self._store.rows("SELECT 1 FROM runs WHERE run_id = ?", [run_id])
            if not known or run_id not in layout.runs_with_data(self._store):
                raise EnvironmentError_(
                    f"{self._store.path} does not hold the run {run_id}",
                    hint="`batchflow load --rebuild` loads it from its folder",
                )
            return views.select_run(self._store, run_id)


def open_reader(path: Path) -> Reader:
    """Open the results for reading.

    Errors: DatabaseHeld (a program writes to it), EnvironmentError_ (no such file, no results in it), SinkError.
    """
    store = open_for_reading(path)
    try:
        with explained(path):
            layout.require(store)
    except BaseException:
        store.close()
        raise
    return Reader(store)
