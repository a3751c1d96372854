"""The words for a name that is no column."""

from collections.abc import Collection
from difflib import get_close_matches


def closest(name: str, columns: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """The column that was probably meant; cutoff: how alike it must be, 1 being equal but for case."""
    lower = {column.lower(): column for column in columns}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return lower[close[0]] if close else None


def no_column(name: str, columns: Collection[str], inserts: Collection[str] = ()) -> tuple[str, str]:
    """Cause and remedy, with the column or insert that was probably meant."""
    meant = closest(name, [*columns, *inserts])
    there_are = f"the columns are {', '.join(columns)}" if columns else "the table has no columns"
    there_are += f"; the inserts are {', '.join(inserts)}" if inserts else ""
    return f"there is no column {name!r}", (f"did you mean {{{{{meant}}}}}? " if meant else "") + there_are
