"""Named inserts (`context:`): which names and files they may have."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from batchflow.spec.base import KEY, refuse

TABLES: Final = (".csv", ".tsv", ".tab")
VALUES: Final = (".json", ".yaml", ".yml")
TEXTS: Final = (".txt", ".md", ".markdown")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# words that mean something else in a slot
_TAKEN: Final = frozenset(
    {
        *("row", "range", "dict", "loop", "self", "super", "varargs", "kwargs", "caller", "true", "false", "none"),
        *("True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "for"),
    }
)


def _usable_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        meant = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        remedy = f"write {meant}" if _NAME.fullmatch(meant) else "write e.g. codebook"
        cause = f"an insert cannot be called {name!r}: ASCII letters, digits and _ only, no digit first, at most 64"
        raise refuse(cause, remedy, at_key=True)
    if name in _TAKEN:
        raise refuse(f"`{name}` means something else in a slot", f"write e.g. my_{name.lower()}", at_key=True)
    return name


def _readable_file(file: Any) -> Any:
    if not isinstance(file, str) or not file:
        raise refuse(f"{KEY} must be the name of a file", "write e.g. codebook.csv")
    if PurePosixPath(file).suffix.lower() not in {*TABLES, *VALUES, *TEXTS}:
        raise refuse(
            f"{KEY} must be a table (.csv, .tsv), .json, .yaml, or a text (.txt, .md)",
            "save it as one of these: tables as CSV (UTF-8), texts as .md",
        )
    return file


InsertName: TypeAlias = Annotated[str, AfterValidator(_usable_name)]
InsertFile: TypeAlias = Annotated[str, BeforeValidator(_readable_file)]
