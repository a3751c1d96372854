"""Tables that DuckDB reads itself: Parquet files, tables of DuckDB files. Every cell's text is made in SQL."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import duckdb

from batchflow.errors import DataError, Fault
from batchflow.sources import text
from batchflow.sources.database import identifier, literal, parquet, private_connection, said
from batchflow.sources.importing import Target
from batchflow.sources.parts import SIGN
from batchflow.sources.table import OneFile, Reading, columns_of, must_be_file

ROW_GROUP: Final = 2048  # rows; one of long texts still fits easily into memory
PARQUET: Final = "parquet"
_HELD: Final = "lock on file"
Opened = tuple[duckdb.DuckDBPyConnection, str]


class Relation:
    """What stands in the FROM clause of some connection."""

    kind = "relation"

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def opened(self, scratch: Path | None) -> AbstractContextManager[Opened]:
        """A connection, and what stands in its FROM clause. Errors: DataError."""
        raise NotImplementedError

    def inspect(self) -> Reading:
        with self._explained(), self.opened(None) as (database, source):
            described = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
            some = database.execute(f"SELECT 1 FROM {source} LIMIT 1").fetchall()
        if not some:
            raise DataError([Fault(self.shown, "the table has no rows", "name one with at least one row")])
        names = [str(row[0]).strip() for row in described]
        columns = columns_of(names, lambda cause, remedy: Fault(self.shown, cause, remedy))
        # every name as it is written, and its type
        options = tuple(part for row in described for part in (str(row[0]), str(row[1])))
        blobs = [name for name, row in zip(names, described, strict=True) if row[1] == "BLOB"]
        notes = [f"bytes are read as Base64 in these columns: {', '.join(blobs)}"] if blobs else []
        return Reading("", columns, drop_blank=False, notes=tuple(notes), options=options)

    def read(self, reading: Reading, target: Target) -> tuple[int, str]:
        described = zip(reading.options[::2], reading.options[1::2], strict=True)
        cells = ", ".join(
            f"{text.in_sql(f'r.{identifier(name)}', kind)} AS c{position}"
            for position, (name, kind) in enumerate(described)
        )
        with self._explained(), self.opened(target.scratch) as (database, source):
            numbered = f"(SELECT row_number() OVER () AS n, {cells} FROM {source} r)"
            target.copy(database, target.select(numbered), ROW_GROUP)
            return target.verify(database, None, {})

    def fault(self, reading: Reading, cause: str, remedy: str, row: int = 0) -> Fault:
        del reading, row  # the cause names the row; there are no lines
        return Fault(self.shown, cause, remedy)

    def files(self) -> Sequence[Path]:
        return []

    def digest(self) -> str | None:
        return None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise DataError([self._refusal(said(error))]) from error

    def _refusal(self, reason: str) -> Fault:
        if _HELD in reason:
            return Fault(self.shown, "another program holds the file", "close that program and run again")
        return Fault(self.shown, f"the file cannot be read: {reason}", "check that it is whole, or save it anew")


class ParquetFile(OneFile, Relation):
    """One file."""

    kind = PARQUET

    @contextmanager
    def opened(self, scratch: Path | None) -> Iterator[Opened]:
        must_be_file(self._path, self.shown)
        with utc_connection(scratch) as database:
            yield database, parquet(self._path)


class DuckTable(OneFile, Relation):
    """A table or view of a DuckDB file, which is opened for reading."""

    kind = "duckdb"

    def __init__(self, path: Path, shown: str, table: str | None, *, queried: bool = False) -> None:
        super().__init__(path, shown)
        self._table, self._queried = table, queried

    @contextmanager
    def opened(self, scratch: Path | None) -> Iterator[Opened]:
        must_be_file(self._path, self.shown)
        with utc_connection(scratch) as database:
            database.execute(f"ATTACH {literal(str(self._path.absolute()))} AS source (READ_ONLY)")
            database.execute("USE source")
            # a view of theirs reads nothing of ours
            allowed = [] if scratch is None else [str(scratch.absolute())]
            lock_up(database, allowed if scratch is None else [*allowed, str(scratch.parent.absolute())])
            found = database.execute(
                "SELECT table_schema, table_name FROM information_schema.tables"
                " WHERE table_catalog = 'source' ORDER BY table_schema <> 'main', table_schema, table_name"
            ).fetchall()
            names = {name if schema == "main" else f"{schema}.{name}": (schema, name) for schema, name in found}
            schema, name = names[chosen(self.shown, list(names), self._table, queried=self._queried)]
            yield database, f"source.{identifier(schema)}.{identifier(name)}"

    def digest(self) -> str | None:
        # what a log beside it holds is not in the file yet
        beside = self._path.with_name(self._path.name + ".wal")
        return None if beside.exists() else super().digest()


@contextmanager
def utc_connection(scratch: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that shows instants the same on every machine."""
    with private_connection(scratch) as database:
        database.execute("SET TimeZone = 'UTC'")
        yield database


def lock_up(database: duckdb.DuckDBPyConnection, allowed: Sequence[str]) -> None:
    """From here on nothing can be read or written but what lies in these folders, and no setting can be changed."""
    folders = ", ".join(literal(folder.rstrip("/") + "/") for folder in allowed)
    database.execute(f"SET allowed_directories = [{folders}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def chosen(shown: str, names: Sequence[str], wanted: str | None, *, queried: bool = False) -> str:
    """The table to read: the one that is named, or the only one. queried: it is a query that names it.

    Errors: DataError that lists them.
    """
    listed = ", ".join(names)
    if not names:
        raise DataError([Fault(shown, "the file holds no table", "name another file")])
    if wanted is None:
        if len(names) == 1:
            return names[0]
        cause = f"the file holds {len(names)} tables: {listed}"
        way = f"in the query, e.g. '{shown}{SIGN}{names[0]}'" if queried else f"under `data:`, e.g. `table: {names[0]}`"
        raise DataError([Fault(shown, cause, f"name one of them {way}")])
    found = [name for name in names if name == wanted] or [name for name in names if name.lower() == wanted.lower()]
    if not found:
        raise DataError([Fault(shown, f"there is no table {wanted!r} in the file", f"its tables are: {listed}")])
    return found[0]
