"""A table of an SQLite file, read with Python's own library."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batchflow.errors import DataError, Fault
from batchflow.sources import text
from batchflow.sources.database import identifier
from batchflow.sources.relation import chosen
from batchflow.sources.table import OneFile, Reading, columns_of, must_be_file

if TYPE_CHECKING:
    from batchflow.sources.importing import Target

HEAD = b"SQLite format 3\0"


class SqliteTable(OneFile):
    """A table or view; its rows come in the order in which SQLite has them."""

    kind = "sqlite"

    def __init__(self, path: Path, shown: str, table: str | None, *, queried: bool = False) -> None:
        super().__init__(path, shown)
        self._table, self._queried = table, queried

    def inspect(self) -> Reading:
        must_be_file(self._path, self.shown)
        with self._selected() as cursor:
            names = [str(column[0]).strip() for column in cursor.description]
            some = cursor.fetchone()
        if some is None:
            raise DataError([Fault(self.shown, "the table has no rows", "name one with at least one row")])
        columns = columns_of(names, lambda cause, remedy: Fault(self.shown, cause, remedy))
        options = (self._table or "",)
        return Reading("", columns, drop_blank=False, notes=(), options=options)

    def read(self, reading: Reading, target: "Target") -> tuple[int, str]:
        del reading
        return target.fill(self._records())

    def _records(self) -> Iterator[Sequence[str | None]]:
        with self._selected() as cursor:
            for row in cursor:
                yield [text.of_value(value) for value in row]

    @contextmanager
    def _selected(self) -> Iterator[sqlite3.Cursor]:
        """All rows of the table. Errors: DataError."""
        try:
            # an address, so that nothing is ever written
            address = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as database:
                found = database.execute(
                    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%'"
                    " ESCAPE '~' ORDER BY rowid"
                ).fetchall()
                name = chosen(self.shown, [row[0] for row in found], self._table, queried=self._queried)
                yield database.execute(f"SELECT * FROM {identifier(name)}")
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                held = Fault(self.shown, "another program holds the file", "close that program and run again")
                raise DataError([held]) from error
            cause = f"the file cannot be read: {error}"
            raise DataError([Fault(self.shown, cause, "check that it is whole, or export it as CSV")]) from error

    def digest(self) -> str | None:
        # what a log beside it holds is not in the file yet
        beside = self._path.with_name(self._path.name + "-wal")
        return None if beside.exists() and beside.stat().st_size else super().digest()
