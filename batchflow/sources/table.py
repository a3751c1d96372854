"""What every kind of table offers, whatever it is read from, and what a header may be."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from batchflow import files
from batchflow.errors import DataError, Fault, SetupError
from batchflow.sources.columns import RESULTS_RESERVED, ROWS_RESERVED, Column, resolve

if TYPE_CHECKING:
    from batchflow.sources.importing import Target

SHOWN_FAULTS: Final = 20
MOST_COLUMNS: Final = 2_000  # more than a table of any study; DuckDB needs memory for each, however few the rows
_TOLD: Final = 3  # renamed columns that are told one by one
_LISTED: Final = 10  # names in one note; of more, only the first ones
_FIRST: Final = 6


class Reading(NamedTuple):
    """How a table is to be read. drop_blank: one leading blank of every value is dropped (design.md, "Cells").
    options: whatever else decides how rows are read, such as the sheet. beside: in words, which table was read where
    nobody said which of those in the file.
    """

    delimiter: str
    columns: tuple[Column, ...]
    drop_blank: bool
    notes: tuple[str, ...]
    options: tuple[str, ...] = ()
    beside: str = ""


class Imported(NamedTuple):
    """sha256: of the compact JSON array [header, row, row, …] with null for missing, so of what was read and not of
    how it is stored. source_sha256: of the file's bytes; empty where the rows come from no file.
    """

    rows: int
    sha256: str
    source_sha256: str


class Source(Protocol):
    """A table that can be read. `shown` is its name as the user wrote it; `kind` says what it is."""

    shown: str
    kind: str

    def inspect(self) -> Reading:
        """Read the header, and as little else as the kind allows. Errors: DataError, SetupError."""

    def read(self, reading: Reading, target: "Target") -> tuple[int, str]:
        """Write all rows to the target; their number and sha256. Errors: DataError with every fault found."""

    def fault(self, reading: Reading, cause: str, remedy: str, row: int = 0) -> Fault:
        """A fault of this table; with `row`, at the place where this row stands, if that is known."""

    def files(self) -> Sequence[Path]:
        """The local files that are read, which must not change meanwhile."""

    def digest(self) -> str | None:
        """Identity of what would be read, known without reading rows; None if only reading tells."""


class OneFile:
    """What the tables that are one local file have in common."""

    def __init__(self, path: Path, shown: str) -> None:
        self.shown = shown
        self._path = path

    def fault(self, reading: Reading, cause: str, remedy: str, row: int = 0) -> Fault:
        del reading, row  # the cause names the row; only some kinds have lines
        return Fault(self.shown, cause, remedy)

    def files(self) -> Sequence[Path]:
        return [self._path]

    def digest(self) -> str | None:
        return files.sha256_of(self._path)


def import_rows(
    source: Source,
    reading: Reading,
    *,
    id_column: str | None,
    required: Collection[str],
    missing: Literal["error", "empty"],
    target: Path,
) -> Imported:
    """Stream a table into `target`, a parquet file: row_number (from 1, in the table's order), row_id, then every
    column under its stored name, as text, with NULL for missing. Memory does not grow with the number of rows.

    id_column and required are names of the header; without id_column the row number is the id. missing="error"
    makes a missing cell in a required column a fault.
    Errors: DataError with up to 20 faults of a kind; nothing appears under `target` then.
    """
    from batchflow.sources.importing import Import  # noqa: PLC0415 - duckdb is heavy; `inspect` does without

    names = [column.name for column in reading.columns]
    unknown = sorted({*required, *([id_column] if id_column is not None else [])} - set(names))
    if unknown:
        raise DataError([
            Fault(source.shown, f"the file has no column {name!r}", f"its columns are {', '.join(names)}")
            for name in unknown
        ])  # fmt: skip
    needed = [name for name in names if name in required] if missing == "error" else []
    digest = source.digest()  # first: what changes later is seen
    rows, sha256 = Import(source, reading, id_column, needed).into(target)
    return Imported(rows, sha256, digest or "")


def columns_of(names: Sequence[str], fault: Callable[[str, str], Fault]) -> tuple[Column, ...]:
    """The columns of a header. Errors: DataError where a name is empty or stands twice; `fault` makes it of cause and
    remedy.
    """
    if len(names) > MOST_COLUMNS:
        cause = f"the table has {len(names):,} columns; at most {MOST_COLUMNS:,} can be read"
        raise DataError([fault(cause, "keep the columns that prompts use, and those you want beside the answers")])
    faults = []
    for position, name in enumerate(names):
        if not name:
            cause = f"column {position + 1} of {len(names)} has no name"
            faults.append(fault(cause, "give every column a name in the first line"))
        elif name in names[:position]:
            cause = f"the column name {name!r} stands twice, in columns {names.index(name) + 1} and {position + 1}"
            faults.append(fault(cause, "rename one of them"))
    if faults:
        raise DataError(faults[:SHOWN_FAULTS])
    stored, results = resolve(names, ROWS_RESERVED), resolve(names, RESULTS_RESERVED)
    return tuple(Column(*each) for each in zip(names, stored, results, strict=True))


def renamed(columns: Sequence[Column]) -> Iterator[str]:
    """A word on columns that have another name in the table of results."""
    found = [column for column in columns if column.results != column.name]
    if len(found) <= _TOLD:
        for column in found:
            yield f"the column {column.name!r} is called {column.results!r} in the table of results"
        return
    names = shortened([f"{column.name!r} ({column.results!r})" for column in found])
    yield f"these columns have another name in the table of results: {names}"


def shortened(names: Sequence[str]) -> str:
    """The names, or the first few of many with their number."""
    if len(names) <= _LISTED:
        return ", ".join(names)
    return f"{', '.join(names[:_FIRST])} … ({len(names):,} in all)"


def must_be_file(path: Path, shown: str) -> None:
    if path.is_dir():
        raise DataError([Fault(shown, "this is a folder, not a file", "name the table in it")])
    if not path.is_file():
        raise DataError([Fault(shown, "there is no such file", "paths count from the folder of the experiment file")])


def not_installed(shown: str, what: str, extra: str) -> SetupError:
    """The error for a library that comes with an extra of ours."""
    return SetupError(f"{shown}: {what} is not installed", hint=f"install it: pip install 'batchflow-llm[{extra}]'")
