"""CSV and TSV files: what their header says (`inspect`), and their rows as rows.parquet (`import_rows`)."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from batchflow.errors import DataError, Fault
from batchflow.sources.columns import RESULTS_RESERVED, ROWS_RESERVED, Column, resolve
from batchflow.sources.scan import Record, Scanner, check_start, header_text

SHOWN_FAULTS: Final = 20
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars (|)"}
_TAB_SUFFIXES: Final = {".tsv", ".tab"}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read. drop_blank: one leading blank of every value is dropped (design.md, "Cells")."""

    delimiter: str
    columns: tuple[Column, ...]
    drop_blank: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """sha256: of the compact JSON array [header, row, row, …] with null for missing, so of what was read and not of
    how it is stored. source_sha256: of the file's bytes.
    """

    rows: int
    sha256: str
    source_sha256: str


def inspect(path: Path, shown: str) -> Reading:
    """Read the header only. `shown` is the path as the user wrote it.

    Errors: DataError where there is no such file, no header, no row, or a header that cannot be used.
    """
    _must_be_file(path, shown)
    check_start(path, shown)
    delimiter, by_name = _delimiter(path, shown)
    with path.open("rb") as handle:
        scanner = Scanner(handle, delimiter, shown)
        records = iter(scanner)
        header = next(records, None)
        if header is None:
            raise DataError([_fault(shown, "the file is empty", "the first line must name the columns")])
        if scanner.faults:
            raise DataError(scanner.faults)
        if not scanner.more():
            raise DataError([
                _fault(shown, "the file has a header and no rows", "add at least one row below the header", header)
            ])  # fmt: skip
    raw = [value or "" for value in header.values]
    drop_blank = len(raw) > 1 and all(header.blanks[1:])
    columns = _columns([name.strip() for name in raw], header, shown)
    return Reading(delimiter, columns, drop_blank, tuple(_notes(delimiter, by_name, drop_blank, columns)))


def _delimiter(path: Path, shown: str) -> tuple[str, bool]:
    """What separates the fields, and whether the name of the file said so."""
    if path.suffix.lower() in _TAB_SUFFIXES:
        return "\t", True
    bare = re.sub(r'"[^"]*"', "", header_text(path, shown))
    counts = {sign: bare.count(sign) for sign in _NAMES}
    if counts[","] or not any(counts.values()):
        return ",", True
    return max(counts, key=lambda sign: counts[sign]), False


def _notes(delimiter: str, by_name: bool, drop_blank: bool, columns: tuple[Column, ...]) -> Iterator[str]:
    if not by_name:
        yield f"columns are separated by {_NAMES[delimiter]}, as the header shows"
    if drop_blank:
        yield "every column name after the first begins with a blank: one leading blank of every value is dropped"
    for column in columns:
        if column.results != column.name:
            yield f"the column {column.name!r} is called {column.results!r} in the table of results"


def _columns(names: list[str], header: Record, shown: str) -> tuple[Column, ...]:
    faults = []
    for position, name in enumerate(names):
        if not name:
            cause = f"column {position + 1} of {len(names)} has no name"
            faults.append(_fault(shown, cause, "give every column a name in the first line", header))
        elif name in names[:position]:
            cause = f"the column name {name!r} stands twice, in columns {names.index(name) + 1} and {position + 1}"
            faults.append(_fault(shown, cause, "rename one of them", header))
    if faults:
        raise DataError(faults[:SHOWN_FAULTS])
    stored, results = resolve(names, ROWS_RESERVED), resolve(names, RESULTS_RESERVED)
    return tuple(Column(*each) for each in zip(names, stored, results, strict=True))


def _fault(shown: str, cause: str, remedy: str, record: Record | None = None) -> Fault:
    if record is None:
        return Fault(shown, cause, remedy)
    return Fault(shown, cause, remedy, record.line, None, record.excerpt)


def _must_be_file(path: Path, shown: str) -> None:
    if path.is_dir():
        raise DataError([_fault(shown, "this is a folder, not a file", "name the CSV or TSV file in it")])
    if not path.is_file():
        raise DataError([
            _fault(shown, "there is no such file", "paths count from the folder of the experiment file")
        ])  # fmt: skip


def import_rows(
    path: Path,
    reading: Reading,
    *,
    id_column: str | None,
    required: Collection[str],
    missing: Literal["error", "empty"],
    target: Path,
    shown: str,
) -> Imported:
    """Stream the file into `target`, a parquet file: row_number (from 1, in file order), row_id, then every column
    under its stored name, as text, with NULL for missing. Memory does not grow with the number of rows.

    id_column and required are names of the header; without id_column the row number is the id. missing="error"
    makes a missing cell in a required column a fault.
    Errors: DataError with up to 20 faults of a kind; nothing appears under `target` then.
    """
    from batchflow.sources.importing import Import  # noqa: PLC0415 - duckdb is heavy; `inspect` does without

    names = [column.name for column in reading.columns]
    unknown = sorted({*required, *([id_column] if id_column is not None else [])} - set(names))
    if unknown:
        raise DataError([
            _fault(shown, f"the file has no column {name!r}", f"its columns are {', '.join(names)}") for name in unknown
        ])  # fmt: skip
    _must_be_file(path, shown)
    needed = [name for name in names if name in required] if missing == "error" else []
    rows, sha256, source_sha256 = Import(path, reading, id_column, needed, shown).into(target)
    return Imported(rows, sha256, source_sha256)
