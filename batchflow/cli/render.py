"""How anything is shown: words on stderr, JSON or a table on stdout, nothing that a terminal would execute."""

import codecs
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import RawIOBase
from typing import Any, BinaryIO, TextIO, cast
from unicodedata import combining, east_asian_width

from batchflow.errors import escape_controls, escape_in_json, redact

WIDEST = 60


def note(text: str) -> None:
    """A line or more for people. Where nobody can read it any more (a closed window or pipe), the command goes on."""
    try:
        sys.stderr.write(escape_controls(redact(text)) + "\n")
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def ask(question: str) -> bool:
    """A question on the terminal; anything but y or yes is no."""
    sys.stderr.write(escape_controls(redact(f"{question} [y/N] ")))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def emit(command: str, value: Mapping[str, Any]) -> None:
    """The one documented object of a command with --json."""
    write(json_text({"schema": f"batchflow.{command}/1", **value}) + "\n")


def json_text(value: object, indent: int | None = 2) -> str:
    """The value as JSON that is safe on a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return escape_in_json(redact(text))


def show(text: str) -> bool:
    """Data on stdout as people read it; False if nobody reads any more."""
    return write(escape_controls(redact(text)) + "\n")


def write(text: str) -> bool:
    """Data on stdout, in UTF-8 whatever the locale; False if nobody reads any more."""
    with stdout() as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))
        return True
    return False


@contextmanager
def stdout() -> Iterator[BinaryIO]:
    """The stream for data. A reader that has seen enough ends the block, not the command."""
    sys.stdout.flush()
    try:
        yield cast(BinaryIO, _Escaping()) if sys.stdout.isatty() else sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _silence(sys.stdout)


def clear_screen() -> None:
    """An empty screen, where there is one."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[2J\x1b[H")


class _Escaping(RawIOBase):
    """Bytes on their way to a terminal, with control characters shown."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, content: Any) -> int:
        text = escape_controls(self._decoder.decode(bytes(content)))
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        return len(content)


def _silence(stream: TextIO) -> None:
    """Let what is still written to a stream vanish."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def command(*words: object) -> str:
    """A command of ours that a person can paste, whatever blanks and quotes are in a path."""
    return shlex.join(["batchflow", *map(str, words)])


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: frozenset[int] = frozenset()) -> str:
    """Aligned columns for people; long cells are cut, controls shown. `right` names the columns of numbers."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max([columns(header), *(columns(row[i]) for row in cells)]) for i, header in enumerate(headers)]

    def line(values: Sequence[str]) -> str:
        room = [" " * (width - columns(value)) for value, width in zip(values, widths, strict=True)]
        return "  ".join(room[i] + value if i in right else value + room[i] for i, value in enumerate(values)).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(list(headers)), rule, *(line(row) for row in cells)])


def cell(value: object, widest: int = WIDEST) -> str:
    """One value on one line."""
    written = isinstance(value, bool | list | tuple | dict)  # as JSON has it
    text = "" if value is None else json.dumps(value, ensure_ascii=False, default=str) if written else str(value)
    if len(text) > widest and isinstance(value, list | tuple) and all(isinstance(each, float) for each in value):
        text = f"[{', '.join(f'{each:.4g}' for each in value)}]"  # a vector: more digits would only show fewer of it
    text = escape_controls(text.replace("\n", "\\n").replace("\t", "\\t"))
    return text if len(text) <= widest else text[: widest - 1] + "…"


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, none wider than a terminal of that width where it can be broken; words stay as they are."""
    lines: list[str] = []
    for line in escape_controls(text).expandtabs(4).split("\n"):
        lines += _broken(line, max(20, width))
    return lines


def _broken(line: str, width: int) -> Iterator[str]:
    current, room = "", width
    for word in re.findall(r"\s*\S+", line):
        taken = columns(word)
        if taken > room and current:
            yield current
            word = word.lstrip()  # noqa: PLW2901 - the blank where a line is broken
            current, room, taken = "", width, columns(word)
        while taken > width:  # an address, or a language without blanks
            fits = next(size for size in range(min(width, len(word)), 0, -1) if columns(word[:size]) <= width)
            yield word[:fits]
            word = word[fits:]  # noqa: PLW2901 - its rest
            taken = columns(word)
        current, room = current + word, room - taken
    yield current


def columns(text: str) -> int:
    """How wide a terminal shows the text: two columns for a CJK character, none for an accent of its own."""
    return len(text) if text.isascii() else sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    return 0 if combining(character) else 1 + (east_asian_width(character) in {"W", "F"})


def plural(count: int, word: str, words: str = "") -> str:
    """`1 request`, `26 requests`, `2 batches`."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def size(count: float) -> str:
    """Bytes in the unit people read."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004 - decimal units, as the API's limits
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def simulated(*, really: bool) -> str:
    """The word that stands wherever simulated answers are shown."""
    return " (SIMULATED)" if really else ""
