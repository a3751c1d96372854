"""Whatever a model answers, what is shown is readable, aligned and obeyed by no terminal."""

import io
import json
import re
import shlex
import sys
from itertools import pairwise
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.cli import render
from batchflow.errors import escape_controls

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
ANYTHING = st.text(
    alphabet=st.characters() | st.sampled_from("\x1b\x07\x9b\x85\u2028\u202e\r\n\t\x7f漢é"), max_size=200
)
VALUES = st.none() | st.booleans() | st.integers() | ANYTHING


@given(VALUES, st.integers(min_value=1, max_value=80))
def test_a_cell_is_one_short_harmless_line(value: object, widest: int) -> None:
    shown = render.cell(value, widest)
    assert not OBEYED.search(shown)
    assert not set(shown) & {"\n", "\t"}
    assert len(shown) <= widest


@given(
    st.integers(min_value=1, max_value=4).flatmap(lambda n: st.lists(st.tuples(*[VALUES] * n), max_size=5)), st.data()
)
def test_columns_of_a_table_stand_below_each_other(rows: list[tuple[object, ...]], data: st.DataObject) -> None:
    headers = [f"column {i}" for i in range(len(rows[0]) if rows else 2)]
    right = data.draw(st.frozensets(st.integers(min_value=0, max_value=len(headers) - 1)))
    lines = render.table(headers, rows, right=right).split("\n")
    assert len(lines) == len(rows) + 2
    widths = [len(dashes) for dashes in lines[1].split("  ")]
    for row, line in zip(rows, lines[2:], strict=True):
        assert render.columns(line) <= sum(widths) + 2 * (len(widths) - 1)
        rest = line
        for i, value in enumerate(row):
            cell = render.cell(value)
            room = " " * (widths[i] - render.columns(cell))
            expected = room + cell if i in right else cell + room
            assert rest.startswith(expected) or expected.startswith(rest) or expected.rstrip() == rest
            rest = rest[len(expected) + 2 :]


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner), max_leaves=10))
def test_json_says_the_same_and_commands_nothing(value: Any) -> None:
    text = render.json_text(value)
    assert not OBEYED.search(text)
    assert json.loads(text) == value


@given(ANYTHING, st.lists(st.integers(min_value=0, max_value=300), max_size=6))
def test_bytes_for_a_terminal_are_escaped_wherever_they_are_cut(text: str, cuts: list[int]) -> None:
    content = text.encode("utf-8", "backslashreplace")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        terminal = render._Escaping()
        for start, end in pairwise(edges):
            terminal.write(content[start:end])
    shown = stream.buffer.getvalue().decode()
    assert not OBEYED.search(shown)
    assert shown == escape_controls(content.decode())


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4))
def test_a_command_can_be_pasted(words: list[str]) -> None:
    assert shlex.split(render.command(*words)) == ["batchflow", *words]


@given(ANYTHING)
def test_width_counts_what_a_terminal_shows(text: str) -> None:
    assert 0 <= render.columns(text) <= 2 * len(text)
    plain = "".join(character for character in text if character.isascii() and category(character) != "Cc")
    assert render.columns(plain) == len(plain)


def test_width_of_known_texts() -> None:
    assert [render.columns(text) for text in ("abc", "漢字", "é", "e\u0301", "ｶﾞ", "😀")] == [3, 4, 1, 1, 2, 2]


@given(st.floats(min_value=0, max_value=1e18, allow_nan=False))
@settings(max_examples=50)
def test_sizes_are_short(count: float) -> None:
    assert re.fullmatch(r"[\d,]+(\.\d)? (bytes|kB|MB|GB)", render.size(count))


def test_sizes_and_plurals() -> None:
    assert [render.size(n) for n in (0, 999, 1000, 22_044, 200_000_000, 5e9)] == [
        "0 bytes", "999 bytes", "1.0 kB", "22.0 kB", "200.0 MB", "5.0 GB",
    ]  # fmt: skip
    words = [render.plural(1, "request"), render.plural(1000, "request"), render.plural(2, "batch", "batches")]
    assert words == ["1 request", "1,000 requests", "2 batches"]
