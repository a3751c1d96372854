"""Reading the documentation as data: its tables and fenced blocks."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from batchflow.cli.program import program

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "projects").glob("*/README.md")),
]
UPDATE = bool(os.environ.get("BATCHFLOW_UPDATE_GOLDEN"))


@dataclass(frozen=True)
class Block:
    """A fenced block; marker is the HTML comment directly above it, without its brackets."""

    language: str
    text: str
    marker: str


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, down to the next one of its level."""
    level = heading.split(" ", maxsplit=1)[0]
    parts = re.split(rf"^{re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)
    assert len(parts) == 2, f"there is no {heading}"
    return re.split(rf"^{level} ", parts[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, first: str) -> list[tuple[str, ...]]:
    """The rows of the table whose first column is headed `first`, cells without blanks around them."""
    found: list[tuple[str, ...]] = []
    inside = False
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        inside = line.startswith("|") and (inside or cells[0] == first)
        if inside and cells[0] != first and not set(cells[0]) <= set("-: "):
            found.append(cells)
    assert found, f"there is no table of {first}"
    return found


def code(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str) -> list[Block]:
    pattern = r"(?:^<!-- (?P<marker>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$"
    return [
        Block(found["language"], found["text"], found["marker"] or "")
        for found in re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    ]


def marked(text: str, marker: str) -> str:
    """The content of the one block below a marker."""
    (block,) = (block for block in blocks(text) if block.marker == marker)
    return block.text


def check_shown(marker: str, actual: str, name: str = "README.md") -> None:
    """A page shows what the program prints; with BATCHFLOW_UPDATE_GOLDEN it is made to."""
    text = page(name)
    shown = marked(text, marker)
    if UPDATE and shown != actual:
        start = text.index("\n", text.index("```", text.index(f"<!-- {marker} -->"))) + 1
        (ROOT / name).write_text(text[:start] + actual + text[start + len(shown) :], encoding="utf-8")
        shown = actual
    assert shown == actual


def _commands(program: typer.Typer, before: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in program.registered_commands:
        assert command.callback is not None
        yield before + (command.name or command.callback.__name__.replace("_", "-")), command.callback
    for group in program.registered_groups:
        assert group.typer_instance is not None
        own = group.typer_instance.registered_callback
        if own is not None and own.callback is not None and group.typer_instance.info.invoke_without_command is True:
            yield f"{before}{group.name}", own.callback
        yield from _commands(group.typer_instance, f"{before}{group.name} ")


# every command as it is typed, with the function behind it
COMMANDS = dict(_commands(program()))
