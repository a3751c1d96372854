"""The import of a delimited file with DuckDB, which is fast, checked against `scan`, which is exact.

A plain file goes straight to DuckDB, and the number of records it read must be the number that the survey counted.
Any other file, and one that DuckDB reads differently or not at all, is read by the scanner, which either says what is
wrong with it or writes it once more in a form that leaves no doubt.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from batchflow import files
from batchflow.errors import DataError, Fault
from batchflow.sources.database import connection, identifier, literal, parquet, pattern, stream
from batchflow.sources.scan import MAX_RECORD, Scanner, Survey, survey

if TYPE_CHECKING:
    from batchflow.sources.delimited import Reading

SHOWN_FAULTS: Final = 20
ROW_GROUP_BYTES: Final = 32_000_000
ROW_GROUP_ROWS: Final = (2048, 20_480)


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
        surveyed = survey(self._path, self._reading.delimiter, self._shown)
        temporary = files.temporary_for(target)
        try:
            with files.scratch_folder(target.parent) as scratch, connection(scratch) as database:
                rows = self._copy(database, surveyed, temporary, scratch)
                sha256 = self._verify(database, temporary, rows)
                faults = [*self._faults_of_ids(database, temporary), *self._faults_of_cells(database, temporary)]
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

    def _fault(self, cause: str, remedy: str) -> Fault:
        return Fault(self._shown, cause, remedy)

    def _copy(self, database: duckdb.DuckDBPyConnection, surveyed: Survey, temporary: Path, scratch: Path) -> int:
        """The number of rows now in the temporary parquet file."""
        group = _row_group(self._path.stat().st_size, surveyed.records)
        if self._trusted(surveyed):
            query = self._query(self._path, self._reading.delimiter, crlf=surveyed.crlf, drop=self._reading.drop_blank)
            try:
                if _copy_to(database, query, temporary, group) == surveyed.records - 1:
                    return surveyed.records - 1
            except duckdb.Error:
                pass  # the scanner says it better, or reads it
        canonical = scratch / "canonical.csv"
        expected = self._rewrite(canonical)
        try:
            rows = _copy_to(database, self._query(canonical, ",", crlf=False, drop=False), temporary, group)
        except duckdb.Error as error:
            cause = f"the file cannot be read: {str(error).splitlines()[0]}"
            raise DataError([self._fault(cause, "look for a value of more than 50 MB")]) from error
        if rows != expected:
            raise AssertionError(f"DuckDB read {rows} rows of {expected}")
        return rows

    def _trusted(self, surveyed: Survey) -> bool:
        """Whether DuckDB reads this file as the scanner would; it swallows an empty field too many, and it does not
        show the blank before a quote that `drop_blank` must know of.
        """
        full = surveyed.delimiters == surveyed.records * (len(self._reading.columns) - 1)
        return surveyed.plain and full and not (surveyed.quotes and self._reading.drop_blank)

    def _query(self, path: Path, delimiter: str, *, crlf: bool, drop: bool) -> str:
        columns = self._reading.columns
        cells = [f"c{position}" for position in range(len(columns))]
        schema = ", ".join(f"'{cell}': 'VARCHAR'" for cell in cells)
        line_end = r"'\r\n'" if crlf else r"'\n'"
        source = (
            f"SELECT row_number() OVER () AS n, * FROM read_csv({literal(pattern(path))}, columns={{{schema}}},"
            f" auto_detect=false, header=true, delim={literal(delimiter)}, quote='\"', escape='\"', nullstr='',"
            " allow_quoted_nulls=false, parallel=false, compression='none', hive_partitioning=false,"
            f" new_line={line_end}, max_line_size={MAX_RECORD})"
        )
        if len(columns) == 1:
            source += " WHERE c0 IS NOT NULL"  # elsewhere DuckDB skips blank lines by itself
        cells = [f"t.{cell}" for cell in cells]
        if drop:
            cells = [f"nullif(regexp_replace({cell}, '^ ', ''), '')" for cell in cells]
        row_id = "t.n::VARCHAR" if self._id is None else cells[self._id]
        kept = [f"{cell} AS {identifier(column.stored)}" for cell, column in zip(cells, columns, strict=True)]
        return f"SELECT t.n AS row_number, {row_id} AS row_id, {', '.join(kept)} FROM ({source}) t"

    def _rewrite(self, copy: Path) -> int:
        """Write the file anew, every value in quotes; returns the number of rows. Errors: DataError."""
        width = len(self._reading.columns)
        faults: list[Fault] = []
        records = total = 0
        with self._path.open("rb") as handle, files.atomic_writer(copy) as writer:
            scanner = Scanner(handle, self._reading.delimiter, self._shown, drop_blank=self._reading.drop_blank)
            for found, record in scanner.judged(width):
                records += 1
                total += len(found)
                faults += found[: SHOWN_FAULTS - len(faults)]
                if record and not total:
                    # names are not read again, and a line break in one would lead DuckDB astray
                    writer.write(_quoted(record.values if records > 1 else ["-"] * width))
            if total:
                hidden = total - len(faults)
                raise DataError(
                    faults, hint=f"{total} faults in all, the first {len(faults)} are shown" if hidden else ""
                )
        return records - 1

    def _verify(self, database: duckdb.DuckDBPyConnection, stored: Path, rows: int) -> str:
        """sha256 of what was read, once every row is known to stand in its place."""
        header = [column.name for column in self._reading.columns]
        digest = hashlib.sha256(_json(header).join([b"[", b""]))
        names = ", ".join(identifier(column.stored) for column in self._reading.columns)
        seen = 0
        for chunk in stream(database, f"SELECT row_number, {names} FROM {parquet(stored)}"):
            if [row[0] for row in chunk] != list(range(seen + 1, seen + len(chunk) + 1)):
                raise AssertionError("rows were stored out of order")
            seen += len(chunk)
            digest.update(b"," + _json([row[1:] for row in chunk])[1:-1])
        if seen != rows:
            raise AssertionError(f"{seen} rows stored of {rows}")
        digest.update(b"]")
        return digest.hexdigest()

    def _faults_of_ids(self, database: duckdb.DuckDBPyConnection, stored: Path) -> Iterator[Fault]:
        if self._id is None:
            return
        name = self._reading.columns[self._id].name
        none = "row_id IS NULL OR trim(row_id) = ''"
        without = _all(
            database,
            f"SELECT row_number, count(*) OVER () FROM {parquet(stored)} WHERE {none} ORDER BY 1 LIMIT {SHOWN_FAULTS}",
        )
        if without:
            total = without[0][1]
            shown = _some([f"row {row}" for row, _ in without], total)
            yield self._fault(
                f"{_count(total, 'row has', 'rows have')} no id in the column {name!r}: {shown}",
                "give every row an id of its own, or leave `data.id` out: then the row number is the id",
            )
        doubled = _all(
            database,
            "SELECT row_id, count(*), min(row_number), max(row_number), count(*) OVER () AS total"
            f" FROM {parquet(stored)} WHERE NOT ({none}) GROUP BY row_id HAVING count(*) > 1"
            f" ORDER BY 3 LIMIT {SHOWN_FAULTS}",
        )
        if doubled:
            shown = _some([_doubled(*row[:4]) for row in doubled], doubled[0][4])
            yield self._fault(
                f"{_count(doubled[0][4], 'id stands', 'ids stand')} in several rows of the column {name!r}: {shown}",
                "give every row an id of its own, or leave `data.id` out: then the row number is the id",
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
            first = [text for _, text in sorted(found, key=lambda each: each[0])[:SHOWN_FAULTS]]
            yield self._fault(
                f"{_count(total, 'cell is', 'cells are')} missing in columns that the template uses:"
                f" {_some(first, total)}",
                "fill them, or write `missing: empty` under `data:` to ask with an empty text there",
            )


def _all(database: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query).fetchall()


def _copy_to(database: duckdb.DuckDBPyConnection, query: str, target: Path, group: int) -> int:
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group}"
    rows = _all(database, f"COPY ({query}) TO {literal(str(target))} ({options})")
    return int(rows[0][0])


def _row_group(size: int, records: int) -> int:
    """Rows of a group, so that one fits easily into memory whatever the size of a row."""
    smallest, largest = ROW_GROUP_ROWS
    return max(smallest, min(largest, ROW_GROUP_BYTES * max(records, 1) // max(size, 1)))


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _quoted(values: Sequence[str | None]) -> bytes:
    cells = ("" if value is None else '"' + value.replace('"', '""') + '"' for value in values)
    return (",".join(cells) + "\n").encode()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _some(shown: Sequence[str], total: int) -> str:
    more = f"; and {total - len(shown):,} more" if total > len(shown) else ""
    return "; ".join(shown) + more


def _doubled(row_id: str, count: int, first: int, last: int) -> str:
    if count == 2:  # noqa: PLR2004 - a pair
        return f"{row_id!r} in rows {first} and {last}"
    return f"{row_id!r} in {count} rows from {first} to {last}"
