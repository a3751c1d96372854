"""The two inner loops of rendering. Whatever replaces them must give the same bytes."""

from collections.abc import Iterable, Sequence
from itertools import repeat

from batchflow.identity import json_text


def escape_texts(cells: Sequence[str]) -> list[bytes]:
    """Each cell as the inside of a JSON string, without its quotes."""
    return [json_text(cell)[1:-1].encode() for cell in cells]


def interleave(constants: Sequence[bytes], columns: Sequence[Sequence[bytes]], count: int) -> list[bytes]:
    """One body a row: constants[0], its cell of columns[0], constants[1], … There is one constant more than columns."""
    parts: list[Iterable[bytes]] = [repeat(constants[0], count)]
    for constant, column in zip(constants[1:], columns, strict=True):
        parts += [column, repeat(constant, count)]
    return [b"".join(row) for row in zip(*parts, strict=True)]
