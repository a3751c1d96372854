"""The two inner loops of rendering. A column is escaped as one text; whatever is fast here must give the same bytes as
cell by cell.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

from pydantic_core import PydanticSerializationError, to_json

from batchflow.identity import json_text

SEPARATOR: Final = "\U0010ffff"  # a noncharacter; a column that holds it all the same is escaped cell by cell
_SEPARATOR: Final = SEPARATOR.encode()
# what `json_text` escapes and a JSON writer need not: DEL, the C1 controls, the line separators
_RARE: Final = tuple(map(re.compile, (rb"\x7f", rb"\xc2[\x80-\x9f]", rb"\xe2\x80[\xa8\xa9]")))


def escape_texts(cells: Sequence[str]) -> list[bytes]:
    """Each cell as the inside of a JSON string, without its quotes."""
    try:
        content = to_json(SEPARATOR.join(cells))[1:-1]
    except PydanticSerializationError:  # half a surrogate pair
        return _one_by_one(cells)
    for rare in _RARE:
        content = rare.sub(_escaped, content)
    escaped = content.split(_SEPARATOR)
    return escaped if len(escaped) == len(cells) else _one_by_one(cells)


def _escaped(character: re.Match[bytes]) -> bytes:
    return json_text(character[0].decode())[1:-1].encode()


def _one_by_one(cells: Sequence[str]) -> list[bytes]:
    """The same, by the definition."""
    return [json_text(cell)[1:-1].encode() for cell in cells]


def split_texts(joined: str, count: int) -> list[str] | None:
    """The texts that a separator ends, if they are so many."""
    texts = joined.split(SEPARATOR)
    return texts[:-1] if len(texts) == count + 1 else None


def interleave(constants: Sequence[bytes], columns: Sequence[Sequence[bytes]], count: int) -> list[bytes]:
    """One body a row: constants[0], its cell of columns[0], constants[1], … There is one constant more than columns."""
    parts: list[Iterable[bytes]] = [repeat(constants[0], count)]
    for constant, column in zip(constants[1:], columns, strict=True):
        parts += [column, repeat(constant, count)]
    return list(map(b"".join, zip(*parts, strict=True)))
