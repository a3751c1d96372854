"""Tables within a file, as a query names them: `book.xlsx#Sheet 2`, `panel.sqlite#people`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from batchflow.spec.data import Kind, kind_of

SIGN: Final = "#"
_HOLDS: Final[dict[Kind, str]] = {"spreadsheet": "sheet", "database": "table"}  # kind of file -> key that names a part


def is_file_name(name: str) -> bool:
    """Whether what stands in a FROM clause looks like a file's name, or like that of a table in one."""
    return kind_of(name) is not None or any(True for _ in _divided(name))


def file_of(folder: Path, name: str) -> tuple[str, dict[str, str]]:
    """The file that a name means, and the key of `data:` that would name the table in it; none where the name is all a
    file's. A `#` belongs to the file where there is one of that name.
    """
    if (folder / name).is_file():
        return name, {}
    found = list(_divided(name))
    there = [each for each in found if (folder / each[0]).is_file()]
    for file, key, part in [*there, *found][:1]:
        return file, {key: part}
    return name, {}


def _divided(name: str) -> Iterator[tuple[str, str, str]]:
    """Every way to read a name as that of a file, with the key for what is named in it."""
    for position, sign in enumerate(name):
        kind = kind_of(name[:position]) if sign == SIGN else None
        if kind in _HOLDS and name[position + 1 :].strip():
            yield name[:position], _HOLDS[kind], name[position + 1 :].strip()
