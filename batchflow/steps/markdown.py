"""Texts of others inside a Markdown page: shown as they are, whatever signs of Markdown or HTML are in them."""

import re
from collections.abc import Sequence
from typing import Final

_SIGNS: Final = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def text(words: str) -> str:
    """The words within a line."""
    return _SIGNS.sub(r"\\\1", " ".join(words.split()))


def code(words: str) -> str:
    """The words within a line, as code; also in a cell of a table."""
    line = " ".join(words.split()).replace("|", "\u2758")  # in a table the plain sign ends the cell, in code as well
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    room = " " if line[:1] == "`" or line[-1:] == "`" or not line else ""
    return f"{fence}{room}{line}{room}{fence}"


def block(words: str) -> str:
    """Lines of a text, word for word."""
    fence = "`" * max(3, max(map(len, re.findall("`+", words)), default=0) + 1)
    return f"{fence}text\n{words.rstrip()}\n{fence}"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are Markdown already."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
