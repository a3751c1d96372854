"""A sheet of an Excel or OpenDocument file as CSV, its cells as text. Needs the extra `xlsx`.

The reader keeps the sheet in memory: such files hold a million rows at most.
"""

from datetime import date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from batchflow import files
from batchflow.errors import DataError, Fault, SetupError

SUFFIXES: Final = frozenset({".xlsx", ".xlsm", ".xls", ".ods"})
INSTALL: Final = "pip install 'batchflow-llm[xlsx]'"
_EXACT: Final = 1e15  # whole numbers up to here are shown without an exponent


def is_spreadsheet(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def as_csv(path: Path, shown: str, target: Path, sheet: str | None = None) -> list[str]:
    """Write a sheet (the first unless named) as CSV; returns what a careful author wants to know.

    Errors: SetupError where the reader is not installed, DataError for a file or sheet that cannot be read.
    """
    try:
        import python_calamine as calamine  # noqa: PLC0415 - an extra, and only for such files
    except ImportError as error:
        raise SetupError(
            f"{shown}: the reader of such files is not installed", hint=f"install it: {INSTALL}"
        ) from error
    try:
        with calamine.load_workbook(path) as book:
            names = book.sheet_names
            if sheet is not None and sheet not in names:
                meant = next(iter(get_close_matches(sheet.lower(), [name.lower() for name in names], n=1)), None)
                near = next((f"did you mean {name!r}? " for name in names if name.lower() == meant), "")
                raise _unreadable(shown, f"there is no sheet {sheet!r}", f"{near}its sheets are {', '.join(names)}")
            name = sheet or names[0]
            rows = [[cell_text(cell) for cell in row] for row in book.get_sheet_by_name(name).to_python()]
    except (calamine.CalamineError, OSError, IndexError) as error:
        cause = f"this is no file that a spreadsheet program has written, or it is damaged or encrypted ({error})"
        raise _unreadable(
            shown, cause, "open it there and save it anew as .xlsx without a password, or as CSV"
        ) from error
    with files.atomic_writer(target) as handle:
        for row in _trimmed(rows):
            handle.write(",".join(_quoted(cell) for cell in row).encode() + b"\n")
    others = len(names) - 1
    return [f"the sheet {name!r} is read; {others} more are left out (--sheet names another)"] if others else []


def _unreadable(shown: str, cause: str, remedy: str) -> DataError:
    return DataError([Fault(shown, cause, remedy)])


def cell_text(cell: Any) -> str:
    """A cell as a person reads it: 28 and not 28.0, dates as ISO 8601."""
    match cell:
        case bool():
            return "TRUE" if cell else "FALSE"
        case float() if cell.is_integer() and abs(cell) < _EXACT:
            return str(int(cell))
        case datetime() if cell.time() == time():
            return cell.date().isoformat()
        case datetime():
            return cell.isoformat(sep=" ")
        case date() | time():
            return cell.isoformat()
        case _:
            return str(cell)


def _trimmed(rows: list[list[str]]) -> list[list[str]]:
    """Without rows below the last, and columns right of the last, that hold anything."""
    while rows and not any(rows[-1]):
        rows.pop()
    width = max((position for row in rows for position, cell in enumerate(row, start=1) if cell), default=0)
    return [row[:width] for row in rows]


def _quoted(cell: str) -> str:
    """A field of a CSV file; an empty one is a missing cell."""
    return '"' + cell.replace('"', '""') + '"' if cell else ""
