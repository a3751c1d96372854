"""The cells of a sheet that are a table, as a spec names them: `B3:F200`, `A:D`."""

import re
from typing import NamedTuple

from batchflow.spec.data import RANGE


class Range(NamedTuple):
    """Positions from 0; the last ones are included, None where the range is open."""

    first_row: int = 0
    first_column: int = 0
    last_row: int | None = None
    last_column: int | None = None


def range_of(cells: str | None) -> Range:
    """What a spec's `range` means; everything without one."""
    if cells is None:
        return Range()
    found = re.fullmatch(RANGE, cells)
    if found is None:
        raise AssertionError(f"{cells!r} was checked before")
    left, top, right, bottom = found.groups()
    first, last = _column(left), _column(right or left)
    rows = int(top) - 1 if top else 0, int(bottom) - 1 if bottom else None
    if right is None:
        rows = rows[0], rows[0] if top else None
    return Range(rows[0], min(first, last), rows[1], max(first, last))


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def name_of(column: int) -> str:
    """The letters of a column, from 0: A, B, … Z, AA."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
