"""How anything is shown: words on stderr, JSON or a table on stdout, nothing that a terminal would execute."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from batchflow.errors import escape_controls, redact

WIDEST = 60


def note(text: str) -> None:
    """A line or more for people."""
    sys.stderr.write(escape_controls(redact(text)) + "\n")
    sys.stderr.flush()


def emit(command: str, value: Mapping[str, Any]) -> None:
    """The one documented object of a command with --json."""
    text = json.dumps({"schema": f"batchflow.{command}/1", **value}, ensure_ascii=False, indent=2, default=str)
    write(redact(text) + "\n")


def write(text: str) -> None:
    """Data on stdout, in UTF-8 whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: frozenset[int] = frozenset()) -> str:
    """Aligned columns for people; long cells are cut, controls shown. `right` names the columns of numbers."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max([len(header), *(len(row[i]) for row in cells)]) for i, header in enumerate(headers)]

    def line(values: Sequence[str]) -> str:
        padded = [
            value.rjust(width) if i in right else value.ljust(width)
            for i, (value, width) in enumerate(zip(values, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(list(headers)), rule, *(line(row) for row in cells)])


def cell(value: object, widest: int = WIDEST) -> str:
    """One value on one line."""
    text = "" if value is None else str(value)
    text = escape_controls(text.replace("\n", "\\n").replace("\t", "\\t"))
    return text if len(text) <= widest else text[: widest - 1] + "…"


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
