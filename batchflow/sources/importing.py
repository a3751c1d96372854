"""The import of a delimited file with DuckDB, which is fast, checked against `scan`, which is exact.

A plain file goes straight to DuckDB, and the rows it read must be as many as the survey counted, with a row of every
megabyte in its place. Any other file, and one that DuckDB reads differently or not at all, is read by the scanner,
which also says what is wrong with it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from batchflow import files
from batchflow.errors import DataError, Fault
from batchflow.sources.database import FETCH_ROWS, connection, identifier, literal, parquet, pattern, stream
from batchflow.sources.scan import Scanner, Survey, sample, survey

if TYPE_CHECKING:
    from batchflow.sources.delimited import Reading

SHOWN_FAULTS: Final = 20
BUFFER_BYTES: Final = 4_000_000  # a longer record is left to the scanner
ROW_GROUP_BYTES: Final = 32_000_000
ROW_GROUP_ROWS: Final = (2048, 20_480)
LOCATED_ROWS: Final = 100_000
IDS_AT_ONCE: Final = 500_000
_NO_ID: Final = "row_id IS NULL OR trim(row_id) = ''"


class _LostWay(AssertionError):
    """What lies in the parquet file is not what the file says."""


class Import:
    """One import: file -> parquet, read back once to verify and to hash it."""

    def __init__(
        self, path: Path, reading: "Reading", id_column: str | None, needed: Sequence[str], shown: str
    ) -> None:
        self._path, self._reading, self._shown = path, reading, shown
        # a missing id is said as such
        self._needed = [column for column in reading.columns if column.name in needed and column.name != id_column]
        names = [column.name for column in reading.columns]
        self._id = None if id_column is None else names.index(id_column)

    def into(self, target: Path) -> tuple[int, str, str]:
        """Number of rows, their sha256, and that of the file."""
        before = _state(self._path)
        reading = self._reading
        surveyed = survey(self._path, reading.delimiter, self._shown, drop_blank=reading.drop_blank)
        temporary = files.temporary_for(target)
        try:
            with files.scratch_folder(target.parent) as scratch:
                rows, sha256 = self._read(surveyed, temporary, scratch)
                with connection(scratch) as database:
                    faults = list(self._faults_of_ids(database, temporary, rows))
                    faults += self._faults_of_cells(database, temporary)
            if not rows:
                faults = [self._fault("the file has a header and no rows", "add at least one row below the header")]
            if _state(self._path) != before:
                faults = [self._fault("the file changed while it was read", "run the same command again")]
            if faults:
                raise DataError(faults)
            files.publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return rows, sha256, surveyed.sha256

    def _fault(self, cause: str, remedy: str, row: int = 0) -> Fault:
        """A fault about the file; with `row`, at the line on which this row begins, if it is not far down."""
        record = None
        if 0 < row <= LOCATED_ROWS:
            with self._path.open("rb") as handle:
                scanner = Scanner(handle, self._reading.delimiter, self._shown)
                record = next(islice(scanner, row, None), None)
        if record is None:
            return Fault(self._shown, cause, remedy)
        return Fault(self._shown, cause, remedy, record.line, None, record.excerpt)

    def _read(self, surveyed: Survey, temporary: Path, scratch: Path) -> tuple[int, str]:
        """Write the temporary parquet file; its number of rows and their sha256."""
        group = _row_group(self._path.stat().st_size, surveyed.records)
        if self._trusted(surveyed):
            try:
                with connection(scratch) as database:
                    _copy_to(database, self._query(surveyed), temporary, group)
                    return self._verify(database, temporary, surveyed.records - 1, surveyed.samples)
            except (duckdb.Error, _LostWay):
                pass  # the scanner says it better, or reads it
        with connection(scratch, str(scratch / "exact.duckdb")) as database:
            rows = self._read_exactly(database)
            _copy_to(database, self._select("exact"), temporary, group)
            return self._verify(database, temporary, rows, {})

    def _trusted(self, surveyed: Survey) -> bool:
        """Whether DuckDB reads this file as the scanner would; it swallows an empty field too many, and it does not
        show the blank before a quote that `drop_blank` must know of.
        """
        full = surveyed.delimiters == surveyed.records * (len(self._reading.columns) - 1)
        return surveyed.plain and full and not (surveyed.quotes and self._reading.drop_blank)

    def _query(self, surveyed: Survey) -> str:
        columns = self._reading.columns
        schema = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(columns)))
        line_end = r"'\r\n'" if surveyed.crlf else r"'\n'"
        # with parallel=false, or a larger buffer, DuckDB keeps the whole file in memory
        source = (
            f"SELECT row_number() OVER () AS n, * FROM read_csv({literal(pattern(self._path))}, columns={{{schema}}},"
            f" auto_detect=false, header=true, delim={literal(self._reading.delimiter)}, quote='\"', escape='\"',"
            f" nullstr='', allow_quoted_nulls=false, compression='none', hive_partitioning=false, new_line={line_end},"
            f" max_line_size={BUFFER_BYTES}, buffer_size={BUFFER_BYTES})"
        )
        if len(columns) == 1:
            source += " WHERE c0 IS NOT NULL"  # elsewhere DuckDB skips blank lines by itself
        return self._select(f"({source})", drop_blank=self._reading.drop_blank)

    def _select(self, source: str, *, drop_blank: bool = False) -> str:
        """The rows as they are stored, out of the cells c0, c1, … and the row number n."""
        columns = self._reading.columns
        cells = [f"t.c{position}" for position in range(len(columns))]
        if drop_blank:
            cells = [f"nullif(regexp_replace({cell}, '^ ', ''), '')" for cell in cells]
        row_id = "t.n::VARCHAR" if self._id is None else cells[self._id]
        kept = [f"{cell} AS {identifier(column.stored)}" for cell, column in zip(cells, columns, strict=True)]
        return f"SELECT t.n AS row_number, {row_id} AS row_id, {', '.join(kept)} FROM {source} t"

    def _read_exactly(self, database: duckdb.DuckDBPyConnection) -> int:
        """Fill the table `exact` from the scanner; returns the number of rows. Errors: DataError."""
        width = len(self._reading.columns)
        cells = ", ".join(f"c{position} VARCHAR" for position in range(width))
        database.execute(f"CREATE TABLE exact (n BIGINT, {cells})")
        faults: list[Fault] = []
        rows, total = -1, 0  # the header is no row
        with self._path.open("rb") as handle:
            scanner = Scanner(handle, self._reading.delimiter, self._shown, drop_blank=self._reading.drop_blank)
            appender = database.appender("exact", action="insert")
            waiting: list[tuple[int | str | None, ...]] = []
            for found, record in scanner.judged(width):
                rows += 1
                total += len(found)
                faults += found[: SHOWN_FAULTS - len(faults)]
                if record and rows and not total:
                    waiting.append((rows, *record.values))
                if len(waiting) >= FETCH_ROWS:
                    appender.append_rows(waiting)
                    waiting.clear()
            appender.append_rows(waiting)
            appender.flush()
        if total:
            raise DataError(faults, total=total)
        return rows

    def _verify(
        self, database: duckdb.DuckDBPyConnection, stored: Path, rows: int, samples: Mapping[int, bytes]
    ) -> tuple[int, str]:
        """Number and sha256 of what was read, once every row is known to stand in its place. Errors: _LostWay."""
        header = [column.name for column in self._reading.columns]
        digest = hashlib.sha256(b"[" + _json(header))
        names = ", ".join(identifier(column.stored) for column in self._reading.columns)
        seen = 0
        for chunk in stream(database, f"SELECT row_number, {names} FROM {parquet(stored)}"):
            if [row[0] for row in chunk] != list(range(seen + 1, seen + len(chunk) + 1)):
                raise _LostWay("rows were stored out of order")
            for row in chunk:
                if row[0] in samples and sample(row[1:]) != samples[row[0]]:
                    raise _LostWay(f"row {row[0]} is another one")
            seen += len(chunk)
            digest.update(b"," + _json([row[1:] for row in chunk])[1:-1])
        if seen != rows:
            raise _LostWay(f"{seen} rows stored of {rows}")
        digest.update(b"]")
        return seen, digest.hexdigest()

    def _faults_of_ids(self, database: duckdb.DuckDBPyConnection, stored: Path, rows: int) -> Iterator[Fault]:
        if self._id is None:
            return
        name = self._reading.columns[self._id].name
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


def _copy_to(database: duckdb.DuckDBPyConnection, query: str, target: Path, group: int) -> None:
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group}"
    _all(database, f"COPY ({query}) TO {literal(str(target))} ({options})")


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


def _row_group(size: int, records: int) -> int:
    """Rows of a group, so that one fits easily into memory whatever the size of a row."""
    smallest, largest = ROW_GROUP_ROWS
    return max(smallest, min(largest, ROW_GROUP_BYTES * max(records, 1) // max(size, 1)))


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


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
