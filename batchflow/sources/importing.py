"""The import of any table: its rows written as rows.parquet, read back once to verify and to hash them, their ids and
missing cells checked there. How the cells get there is the business of each kind of table, which is given a `Target`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from batchflow import files
from batchflow.errors import DataError, Fault
from batchflow.sources.columns import Column
from batchflow.sources.database import FETCH_ROWS, PACKED, connection, identifier, literal, parquet, stream
from batchflow.sources.scan import sample
from batchflow.sources.table import SHOWN_FAULTS, Reading, Source

ROW_GROUP_BYTES: Final = 32_000_000
ROW_GROUP_ROWS: Final = (2048, 20_480)
IDS_AT_ONCE: Final = 500_000
_NO_ID: Final = "row_id IS NULL OR trim(row_id) = ''"


class LostWay(AssertionError):
    """What lies in the parquet file is not what the table says."""


class Target(NamedTuple):
    """The parquet file to be written, of columns c0, c1, … and row numbers n. id: the position of the column whose
    cells are the row ids. scratch: a folder for whatever is needed meanwhile.
    """

    columns: tuple[Column, ...]
    id: int | None
    path: Path
    scratch: Path

    def select(self, source: str, cells: Sequence[str] = ()) -> str:
        """The rows as they are stored, out of a source in a FROM clause. cells: SQL in place of t.c0, t.c1, …"""
        cells = cells or [f"t.c{position}" for position in range(len(self.columns))]
        row_id = "t.n::VARCHAR" if self.id is None else cells[self.id]
        kept = [f"{cell} AS {identifier(column.stored)}" for cell, column in zip(cells, self.columns, strict=True)]
        return f"SELECT t.n AS row_number, {row_id} AS row_id, {', '.join(kept)} FROM {source} t"

    def copy(self, database: duckdb.DuckDBPyConnection, query: str, group: int) -> None:
        """Write what a query of `select` gives; group: rows that are compressed together."""
        _all(database, f"COPY ({query}) TO {literal(str(self.path))} ({PACKED}, ROW_GROUP_SIZE {group})")

    def fill(self, records: Iterable[Sequence[str | None]]) -> tuple[int, str]:
        """Write records of cells as they come; their number and sha256."""
        with connection(self.scratch, str(self.scratch / "exact.duckdb")) as database:
            rows, size = self._fill(database, records)
            self.copy(database, self.select("exact"), row_group(size, rows))
            return self.verify(database, rows, {})

    def _fill(self, database: duckdb.DuckDBPyConnection, records: Iterable[Sequence[str | None]]) -> tuple[int, int]:
        """Fill the table `exact`; number of rows and of characters."""
        cells = ", ".join(f"c{position} VARCHAR" for position in range(len(self.columns)))
        database.execute(f"CREATE TABLE exact (n BIGINT, {cells})")
        appender = database.appender("exact", action="insert")
        waiting: list[tuple[int | str | None, ...]] = []
        rows = size = 0
        for rows, values in enumerate(records, start=1):
            size += sum(len(value) for value in values if value)
            waiting.append((rows, *values))
            if len(waiting) >= FETCH_ROWS:
                appender.append_rows(waiting)
                waiting.clear()
        appender.append_rows(waiting)
        appender.flush()
        return rows, size

    def verify(
        self, database: duckdb.DuckDBPyConnection, rows: int | None, samples: Mapping[int, bytes]
    ) -> tuple[int, str]:
        """Number and sha256 of what was written, once every row is known to stand in its place; rows: how many there
        must be. Errors: LostWay.
        """
        digest = hashlib.sha256(b"[" + _json([column.name for column in self.columns]))
        names = ", ".join(identifier(column.stored) for column in self.columns)
        seen = 0
        for chunk in stream(database, f"SELECT row_number, json_array({names})::VARCHAR FROM {parquet(self.path)}"):
            numbers, cells = zip(*chunk, strict=True)
            if numbers != tuple(range(seen + 1, seen + len(chunk) + 1)):
                raise LostWay("rows were stored out of order")
            for number in samples.keys() & set(numbers):
                if sample(json.loads(cells[number - seen - 1])) != samples[number]:
                    raise LostWay(f"row {number} is another one")
            seen += len(chunk)
            digest.update(as_hashed(cells))
        if rows is not None and seen != rows:
            raise LostWay(f"{seen} rows stored of {rows}")
        digest.update(b"]")
        return seen, digest.hexdigest()


def as_hashed(rows: Sequence[str]) -> bytes:
    """Rows that DuckDB has written as JSON, as Python's `json` writes them, each after a comma: they write the rarer
    control characters differently, and nothing else.
    """
    text = "," + ",".join(rows)
    if r"\u00" in text:
        text = "".join("," + (_json(json.loads(row)).decode() if r"\u00" in row else row) for row in rows)
    return text.encode()


class Import:
    """One import: table -> parquet, checked."""

    def __init__(self, source: Source, reading: Reading, id_column: str | None, needed: Sequence[str]) -> None:
        self._source, self._reading = source, reading
        # a missing id is said as such
        self._needed = [column for column in reading.columns if column.name in needed and column.name != id_column]
        names = [column.name for column in reading.columns]
        self._id = None if id_column is None else names.index(id_column)

    def into(self, target: Path) -> tuple[int, str]:
        """Number of rows and their sha256. Errors: DataError; nothing appears under `target` then."""
        before = self._state()
        temporary = files.temporary_for(target)
        try:
            with files.scratch_folder(target.parent) as scratch:
                writing = Target(self._reading.columns, self._id, temporary, scratch)
                rows, sha256 = self._source.read(self._reading, writing)
                with connection(scratch) as database:
                    faults = list(self._faults_of_ids(database, temporary, rows))
                    faults += self._faults_of_cells(database, temporary)
            if not rows:
                faults = [self._fault("the file has a header and no rows", "add at least one row below the header")]
            if self._state() != before:
                faults = [self._fault("the file changed while it was read", "run the same command again")]
            if faults:
                raise DataError(faults)
            files.publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return rows, sha256

    def _state(self) -> list[tuple[int, int, int]]:
        found = [path.stat() for path in self._source.files()]
        return [(status.st_size, status.st_mtime_ns, status.st_ino) for status in found]

    def _fault(self, cause: str, remedy: str, row: int = 0) -> Fault:
        return self._source.fault(self._reading, cause, remedy, row)

    def _faults_of_ids(self, database: duckdb.DuckDBPyConnection, stored: Path, rows: int) -> Iterator[Fault]:
        if self._id is None:
            return
        name = self._reading.columns[self._id].name
        look = f"SELECT count(*) FILTER ({_NO_ID}), count(DISTINCT hash(row_id)) FROM {parquet(stored)}"
        if _all(database, look) == [(0, rows)]:  # as many hashes as rows: no two ids are equal
            return
        without = _all(
            database,
            f"SELECT row_number, count(*) OVER () FROM {parquet(stored)} WHERE {_NO_ID}"
            f" ORDER BY 1 LIMIT {SHOWN_FAULTS}",
        )
        if without:
            total = without[0][1]
            shown = _some([f"row {row}" for row, _ in without], total)
            yield self._fault(
                f"{_count(total, 'row has', 'rows have')} no id in the column {name!r}: {shown}",
                "give every row an id of its own, or leave `data.id` out: then the row number is the id",
                without[0][0],
            )
        doubled, total = _doubled_ids(database, stored, rows)
        if doubled:
            shown = _some([_said(*each) for each in doubled], total)
            yield self._fault(
                f"{_count(total, 'id stands', 'ids stand')} in several rows of the column {name!r}: {shown}",
                "give every row an id of its own, or leave `data.id` out: then the row number is the id",
                doubled[0][2],
            )

    def _faults_of_cells(self, database: duckdb.DuckDBPyConnection, stored: Path) -> Iterator[Fault]:
        found: list[tuple[int, str]] = []
        total = 0
        for column in self._needed:
            where = f"FROM {parquet(stored)} WHERE {identifier(column.stored)} IS NULL"
            total += _all(database, f"SELECT count(*) {where}")[0][0]
            for row, row_id in _all(database, f"SELECT row_number, row_id {where} LIMIT {SHOWN_FAULTS}"):
                identity = "" if self._id is None or not row_id else f" (id {row_id!r})"
                found.append((row, f"row {row}{identity} column {column.name!r}"))
        if total:
            found.sort(key=lambda each: each[0])
            first = [text for _, text in found[:SHOWN_FAULTS]]
            yield self._fault(
                f"{_count(total, 'cell is', 'cells are')} missing in columns that the template uses:"
                f" {_some(first, total)}",
                "fill them, or write `missing: empty` under `data:` to ask with an empty text there",
                found[0][0],
            )


def _all(database: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query).fetchall()


def _doubled_ids(
    database: duckdb.DuckDBPyConnection, stored: Path, rows: int
) -> tuple[list[tuple[str, int, int, int]], int]:
    """The first ids that stand more than once (id, times, first row, last row), and how many there are.

    A part of the ids at a time, so that memory does not grow with their number.
    """
    parts = 1 + rows // IDS_AT_ONCE
    doubled: list[tuple[str, int, int, int]] = []
    total = 0
    for part in range(parts):
        found = _all(
            database,
            "SELECT row_id, count(*), min(row_number), max(row_number), count(*) OVER ()"
            f" FROM {parquet(stored)} WHERE NOT ({_NO_ID}) AND hash(row_id) % {parts} = {part}"
            f" GROUP BY row_id HAVING count(*) > 1 ORDER BY 3 LIMIT {SHOWN_FAULTS}",
        )
        doubled += [(row[0], row[1], row[2], row[3]) for row in found]
        total += found[0][4] if found else 0
    return sorted(doubled, key=lambda each: each[2])[:SHOWN_FAULTS], total


def row_group(size: int, records: int) -> int:
    """Rows of a group, so that one fits easily into memory whatever the size of a row."""
    smallest, largest = ROW_GROUP_ROWS
    return max(smallest, min(largest, ROW_GROUP_BYTES * max(records, 1) // max(size, 1)))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _some(shown: Sequence[str], total: int) -> str:
    more = f"; and {total - len(shown):,} more" if total > len(shown) else ""
    return "; ".join(shown) + more


def _said(row_id: str, count: int, first: int, last: int) -> str:
    if count == 2:  # noqa: PLR2004 - a pair
        return f"{row_id!r} in rows {first} and {last}"
    return f"{row_id!r} in {count} rows from {first} to {last}"
