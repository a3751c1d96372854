"""The rows of a delimited file, read with DuckDB, which is fast, and checked against `scan`, which is exact.

A plain file goes straight to DuckDB, and the rows it read must be as many as the survey counted, with a row of every
megabyte in its place. Any other file, and one that DuckDB reads differently or not at all, is read by the scanner,
which also says what is wrong with it.
"""

from pathlib import Path
from typing import Final

import duckdb

from batchflow.sources.database import connection, literal, pattern
from batchflow.sources.exact import records
from batchflow.sources.importing import LostWay, Target, row_group
from batchflow.sources.scan import Survey, survey
from batchflow.sources.table import Reading

BUFFER_BYTES: Final = 4_000_000  # a longer record is left to the scanner


class DelimitedRows:
    """The rows of one file in UTF-8, for a target."""

    def __init__(self, path: Path, reading: Reading, shown: str, target: Target) -> None:
        self._path, self._reading, self._shown, self._target = path, reading, shown, target

    def write(self, surveyed: Survey | None = None) -> tuple[int, str]:
        """Write them all; their number and sha256. Errors: DataError."""
        reading, target = self._reading, self._target
        if surveyed is None:
            surveyed = survey(self._path, reading.delimiter, self._shown, drop_blank=reading.drop_blank)
        if self._trusted(surveyed):
            try:
                with connection(target.scratch) as database:
                    group = row_group(self._path.stat().st_size, surveyed.records)
                    target.copy(database, self._query(surveyed), group)
                    return target.verify(database, surveyed.records - 1, surveyed.samples)
            except (duckdb.Error, LostWay):
                pass  # the scanner says it better, or reads it
        return self._write_exactly()

    def _trusted(self, surveyed: Survey) -> bool:
        """Whether DuckDB reads this file as the scanner would; it swallows an empty field too many, and it does not
        show the blank before a quote that `drop_blank` must know of.
        """
        full = surveyed.delimiters == surveyed.records * (len(self._reading.columns) - 1)
        return surveyed.plain and full and not (surveyed.quotes and self._reading.drop_blank)

    def _query(self, surveyed: Survey) -> str:
        width = len(self._reading.columns)
        schema = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(width))
        line_end = r"'\r\n'" if surveyed.crlf else r"'\n'"
        # with parallel=false, or a larger buffer, DuckDB keeps the whole file in memory
        source = (
            f"SELECT row_number() OVER () AS n, * FROM read_csv({literal(pattern(self._path))}, columns={{{schema}}},"
            f" auto_detect=false, header=true, delim={literal(self._reading.delimiter)}, quote='\"', escape='\"',"
            f" nullstr='', allow_quoted_nulls=false, compression='none', hive_partitioning=false, new_line={line_end},"
            f" max_line_size={BUFFER_BYTES}, buffer_size={BUFFER_BYTES})"
        )
        if width == 1:
            source += " WHERE c0 IS NOT NULL"  # elsewhere DuckDB skips blank lines by itself
        cells = [f"t.c{position}" for position in range(width)]
        if self._reading.drop_blank:
            cells = [f"nullif(regexp_replace({cell}, '^ ', ''), '')" for cell in cells]
        return self._target.select(f"({source})", cells)

    def _write_exactly(self) -> tuple[int, str]:
        with self._path.open("rb") as handle:
            return self._target.fill(records(handle, self._reading, self._shown))
