"""A sheet of an Excel or OpenDocument file: its first row with anything in it is the header. Needs the extra `xlsx`.

The reader keeps the sheet in memory: such files hold a million rows at most.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchflow.errors import DataError, Fault
from batchflow.sources import text
from batchflow.sources.cells import range_of
from batchflow.sources.parts import SIGN
from batchflow.sources.table import OneFile, Reading, columns_of, must_be_file, not_installed

if TYPE_CHECKING:
    from batchflow.sources.importing import Target

_EXCERPT: Final = 100
_TOLD: Final = 5  # sheets that are named one by one


class Spreadsheet(OneFile):
    """One sheet: the first, unless named; all of it, unless cells are. A row without any cell is none."""

    kind = "spreadsheet"

    def __init__(
        self, path: Path, shown: str, sheet: str | None = None, cells: str | None = None, *, queried: bool = False
    ) -> None:
        super().__init__(path, shown)
        self._sheet, self._cells, self._queried = sheet, cells, queried
        self._rows: list[tuple[int, list[Any]]] | None = None  # with their numbers, the header first
        self._named = ""
        self._others: list[str] = []  # sheets that nobody asked for

    def inspect(self) -> Reading:
        rows = self._read()
        if not rows:
            remedy = "name another sheet" + (f": {_some(self._others)}" if self._others else "")
            raise DataError([Fault(self.shown, f"the sheet {self._named!r} holds nothing", remedy)])
        header = self._header(rows)
        columns = columns_of(header, lambda cause, remedy: self._fault(cause, remedy, 0))
        if len(rows) == 1:
            raise DataError([self._fault("there is a header and no rows", "add at least one row below the header", 0)])
        self._refuse_cells_outside(rows, len(columns))
        beside = self._beside()
        notes = (beside,) if beside else ()
        return Reading("", columns, False, notes, (self._named, self._cells or ""), beside)

    def _beside(self) -> str:
        """A word on the sheets that are left out; empty where there are none, or one was named."""
        if not self._others:
            return ""
        way = "`sheet` under `data:` names another"
        if self._queried:
            way = f"the query names another by '{self.shown}{SIGN}{self._others[0]}'"
        return f"the sheet {self._named!r} is read, and not {_some(self._others)} ({way})"

    def read(self, reading: Reading, target: "Target") -> tuple[int, str]:
        rows = self._read()
        width = len(reading.columns)
        return target.fill(_as_text(row, width) for _, row in rows[1:])

    def fault(self, reading: Reading, cause: str, remedy: str, row: int = 0) -> Fault:
        del reading
        return self._fault(cause, remedy, row) if row else Fault(self.shown, cause, remedy)

    def _fault(self, cause: str, remedy: str, row: int) -> Fault:
        """A fault at a row of the table (0: the header), named as the spreadsheet program names it."""
        rows = self._read()
        number, cells = rows[row]
        excerpt = " | ".join(cell_text(cell) for cell in cells)[:_EXCERPT]
        return Fault(f"{self.shown}, sheet {self._named!r}, row {number}", f"{cause} [{excerpt}]", remedy)

    def _header(self, rows: list[tuple[int, list[Any]]]) -> list[str]:
        names = [cell_text(cell).strip() for cell in rows[0][1]]
        while names and not names[-1]:
            names.pop()
        return names

    def _refuse_cells_outside(self, rows: list[tuple[int, list[Any]]], width: int) -> None:
        outside = [
            self._fault(
                f"a cell right of the last column name holds {cell_text(cell)!r}",
                "give its column a name or empty the cell, or name the table's cells: `range: A1:D20` under `data:`",
                position,
            )
            for position, (_, row) in enumerate(rows)
            for cell in row[width:]
            if cell_text(cell)
        ]
        if outside:
            raise DataError(outside[:20])

    def _read(self) -> list[tuple[int, list[Any]]]:
        """The rows that hold anything, with their numbers in the sheet."""
        if self._rows is None:
            must_be_file(self._path, self.shown)
            self._rows = self._load()
        return self._rows

    def _load(self) -> list[tuple[int, list[Any]]]:
        try:
            import python_calamine as calamine  # noqa: PLC0415 - an extra, and only for such files
        except ImportError as error:
            raise not_installed(self.shown, "the reader of such files", "xlsx") from error
        try:
            with calamine.load_workbook(self._path) as book:
                names = book.sheet_names
                if self._sheet is not None and self._sheet not in names:
                    raise self._unreadable(f"there is no sheet {self._sheet!r}", _sheets(self._sheet, names))
                self._named = self._sheet or names[0]
                rows = book.get_sheet_by_name(self._named).to_python(skip_empty_area=False)
        except (calamine.CalamineError, OSError, IndexError) as error:
            cause = f"the file cannot be read: no spreadsheet program wrote it, or it is damaged or encrypted ({error})"
            raise self._unreadable(cause, "save it there anew as .xlsx without a password, or as CSV") from error
        if self._sheet is None:
            self._others = [name for name in names if name != self._named]
        return list(self._within(rows))

    def _within(self, rows: list[list[Any]]) -> Iterator[tuple[int, list[Any]]]:
        """The rows of the range that hold anything, cut to its columns, and no empty column on the left."""
        area = range_of(self._cells)
        last = None if area.last_column is None else area.last_column + 1
        end = len(rows) if area.last_row is None else area.last_row + 1
        kept = [(number, row[area.first_column : last]) for number, row in enumerate(rows[:end], start=1)]
        kept = [(number, row) for number, row in kept[area.first_row :] if any(map(cell_text, row))]
        left = 0
        if self._cells is None and kept:
            left = min(next(place for place, cell in enumerate(row) if cell_text(cell)) for _, row in kept)
        return ((number, row[left:]) for number, row in kept)

    def _unreadable(self, cause: str, remedy: str) -> DataError:
        return DataError([Fault(self.shown, cause, remedy)])


def _sheets(wanted: str, names: Sequence[str]) -> str:
    """Which sheets there are, the one that was probably meant first."""
    close = get_close_matches(wanted.lower(), [name.lower() for name in names], n=1)
    meant = next((name for name in names if close and name.lower() == close[0]), None)
    return (f"did you mean {meant!r}? " if meant else "") + f"its sheets are {', '.join(names)}"


def _some(names: Sequence[str]) -> str:
    more = [f"{len(names) - _TOLD} more"] if len(names) > _TOLD else []
    return ", ".join([*map(repr, names[:_TOLD]), *more])


def _as_text(row: Sequence[Any], width: int) -> list[str | None]:
    cells = [cell_text(cell) or None for cell in row[:width]]
    return cells + [None] * (width - len(cells))


def cell_text(cell: Any) -> str:
    """A cell as its program shows it: TRUE for true; a time at midnight is a date, for a sheet makes no difference."""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    return text.of_value(cell) or ""
