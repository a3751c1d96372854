"""How the same request file is made elsewhere; both write what they can of the table, without a hash, a map or a check.

python -m benchmarks.rivals NAME TABLE TEMPLATE TARGET
"""

import csv
import html
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_TAG: Final = re.compile(r"\{\{\{?\s*&?\s*(\w+)\s*\}?\}\}")


def _rows(table: str) -> Iterator[dict[str, str]]:
    with Path(table).open(encoding="utf-8", newline="") as handle:
        yield from csv.DictReader(handle)


def _line(number: int, body: Any) -> str:
    return json.dumps({"custom_id": f"task-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})


def _render(template: str, row: Mapping[str, str]) -> str:
    """As mustache does it: every tag of the text is replaced, and escaped for HTML."""
    return _TAG.sub(lambda tag: html.escape(row[tag[1]], quote=True), template)


def deck(table: str, template: str, target: str) -> None:
    """The deck's way: the whole template is rendered as a text for each row, and parsed; what does not parse goes."""
    text = Path(template).read_text(encoding="utf-8")
    with Path(target).open("w", encoding="utf-8") as handle:
        for number, row in enumerate(_rows(table)):
            try:
                body = json.loads(_render(text, row))
            except ValueError:
                continue
            handle.write(_line(number, body) + "\n")


def sdk_loop(table: str, template: str, target: str) -> None:
    """What the provider's guides show: a dict for each row, dumped to a line."""
    body = json.loads(Path(template).read_bytes())
    system = body["messages"][0]["content"][0]["text"]
    with Path(target).open("w", encoding="utf-8") as handle:
        for number, row in enumerate(_rows(table)):
            text = {"type": "text", "text": system.replace("{{Description}}", row["Description"])}
            first = {"role": "system", "content": [text]}
            handle.write(_line(number, {**body, "messages": [first, *body["messages"][1:]]}) + "\n")


RIVALS: Final[Mapping[str, Callable[[str, str, str], None]]] = {"deck": deck, "sdk_loop": sdk_loop}

if __name__ == "__main__":
    RIVALS[sys.argv[1]](*sys.argv[2:])
