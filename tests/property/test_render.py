"""Whatever a model answers, what is shown is readable, aligned and obeyed by no terminal."""

import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.cli import display, progress, render, show
from batchflow.errors import DataError, Fault, UsageError, escape_controls

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
LINK = "\x1b]8;;http://evil\x1b\\\\click\x1b]8;;\x07"
ANYTHING = st.text(
    alphabet=st.characters() | st.sampled_from("\x1b\x07\x9b\x85\u061c\u200f\u2028\u202e\u2066\r\n\t\x7f漢é"),
    max_size=200,
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


class Screen(io.TextIOWrapper):
    """A terminal that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)

    def isatty(self) -> bool:
        return True

    def sent(self) -> str:
        self.flush()
        return cast("io.BytesIO", self.buffer).getvalue().decode()


def _entry(text: str) -> dict[str, Any]:
    return {
        "custom_id": text, "kind": "result", "outcome": "answered", "simulated": False, "content": text,
        "refusal": text, "error_code": text, "error_message": text,
    }  # fmt: skip


def _described(text: str) -> dict[str, Any]:
    response = {"round": 1, "batch_id": text, "outcome": text or "error", "file": text, "line": 1, "content": text}
    return {
        "custom_id": text, "run": text, "simulated": False, "row_id": text, "row_number": 1, "condition": text,
        "condition_number": 1, "replicate": 1, "draw": 1, "responses": [response],
        "request": {"file": text, "line": 1, "body": {text: [text]}},
    }  # fmt: skip


def _fault(text: str) -> str:
    fault = Fault(text, text, text, 1, 1, text)
    return DataError([fault], hint=text).text() + UsageError(text, hint=text).text()


def _stream(text: str) -> None:
    with render.stdout() as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def _above(text: str) -> None:
    live = progress._LiveLine()
    live.close()
    live.above(text)


# every way by which words of a model, a file or a provider come to a terminal
WAYS: dict[str, Callable[[str], object]] = {
    "note": render.note,
    "ask": render.ask,
    "show": render.show,
    "write": render.write,
    "emit": lambda text: render.emit("x", {"rows": [{text: text}]}),
    "stdout": _stream,
    "live line": _above,
    "table": lambda text: render.show(render.table((text, "b"), [(text, [text]), (text, {text: text})])),
    "display": lambda text: render.show(display._text(_entry(text))),
    "show a request": lambda text: render.show(show.text(_described(text))),
    "errors": lambda text: render.note(_fault(text)),
    "command": lambda text: render.note(render.command("run", text)),
}


@pytest.mark.parametrize("way", WAYS)
@given(ANYTHING | st.just(LINK))
@settings(max_examples=60, deadline=None)
def test_no_way_to_a_terminal_lets_it_obey(way: str, text: str) -> None:
    screen = Screen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "dumb")
        patch.setattr(sys, "stdin", io.StringIO("n\n"))
        patch.setattr(sys, "stdout", screen)
        patch.setattr(sys, "stderr", screen)
        WAYS[way](text)
    shown = re.sub("\\x1b\\[(?:\\?25[lh]|2K|1A)|\r", "", screen.sent()) if way == "live line" else screen.sent()
    assert not OBEYED.search(shown)


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
