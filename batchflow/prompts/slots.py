"""Where slots stand in a text, and what kind each is, before anybody asks Jinja."""

import re
from collections.abc import Collection, Iterator
from typing import Final, Literal, NamedTuple

KINDS: Final = ("number", "boolean", "json")
_QUOTED_OR_BRACE: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|["'{}]""", re.DOTALL)
_KIND: Final = re.compile(r"(.*)\|\s*(number|boolean|json)\s*", re.DOTALL)
_LOGIC: Final = re.compile(r"\{%.*?%\}", re.DOTALL)


class Slot(NamedTuple):
    """A slot at text[start:end]. what: a column of that name, a Jinja expression, a comment, a mustache tag, or a
    slot without anything in it. trim_*: `{{-` and `-}}` take the white space beside them away.
    """

    start: int
    end: int
    what: Literal["column", "expression", "comment", "section", "empty"]
    name: str
    trim_before: bool = False
    trim_after: bool = False


def has_slot(text: str) -> bool:
    return "{{" in text and "}}" in text[text.index("{{") :]


def has_logic(text: str) -> bool:
    """Whether the text as a whole is a Jinja template."""
    return _LOGIC.search(text) is not None


def slot_end(text: str, start: int, columns: Collection[str] = ()) -> int | None:
    """Where the slot that is opened at `start` ends; None if it is not closed."""
    opening, closing = ("{{{", "}}}") if text.startswith("{{{", start) else ("{{", "}}")
    first = text.find(closing, start + len(opening))
    if first < 0 and opening == "{{{":
        opening, closing, first = "{{", "}}", text.find("}}", start + 2)
    if first < 0:
        return None
    inner = text[start + len(opening) : first].strip()
    position = first
    if not (inner in columns or inner[1:].strip() in columns or inner[:1] in {"!", "#", "^", "/", ">"}):
        # the end of a Jinja expression is not inside its quotes or braces
        while position >= 0 and not _closed(text[start + len(opening) : position]):
            position = text.find(closing, position + 1)
    return (position if position >= 0 else first) + len(closing)


def _closed(expression: str) -> bool:
    depth = 0
    for token in _QUOTED_OR_BRACE.findall(expression):
        if token in {'"', "'"}:
            return False
        depth += {"{": 1, "}": -1}.get(token, 0)
    return depth == 0


def find_slots(text: str, columns: Collection[str]) -> Iterator[Slot | int]:
    """The slots of a text in order; the position of a `{{` that is never closed ends them."""
    position = text.find("{{")
    while position >= 0:
        end = slot_end(text, position, columns)
        if end is None:
            yield position
            return
        yield classify(text, position, end, columns)
        position = text.find("{{", end)


def classify(text: str, start: int, end: int, columns: Collection[str]) -> Slot:
    """What the slot at text[start:end] is. A column's name comes before everything else."""
    braces = 3 if text.startswith("{{{", start) and text.endswith("}}}", start, end) else 2
    inner = text[start + braces : end - braces]
    name = inner.strip()
    if name in columns:
        return Slot(start, end, "column", name)
    if name.startswith("!"):
        return Slot(start, end, "comment", name)
    trim_before, trim_after = inner.startswith("-"), inner.endswith("-")
    name = inner[trim_before : len(inner) - trim_after].strip()
    if name.startswith("&"):
        name = name[1:].strip()
    if name in columns:
        return Slot(start, end, "column", name, trim_before, trim_after)
    if not name:
        return Slot(start, end, "empty", name)
    if name[0] in "#^/>=":
        return Slot(start, end, "section", name)
    return Slot(start, end, "expression", name, trim_before, trim_after)


def split_kind(slot: Slot, columns: Collection[str]) -> tuple[Slot, str] | None:
    """A slot that ends with `| number`, `| boolean` or `| json`: the slot without it, and that word."""
    match = _KIND.fullmatch(slot.name)
    if slot.what != "expression" or not match:
        return None
    name = match[1].strip()
    return Slot(slot.start, slot.end, "column" if name in columns else "expression", name), match[2]


def in_jinja(section: str) -> str:
    """The Jinja form of a mustache tag, for a remedy."""
    name = section[1:].strip() or "Column"
    if not name.isidentifier():
        name = f'row["{name}"]'
    match section[0]:
        case "#":
            return f"{{% if {name} %}}…{{% endif %}}"
        case "^":
            return f"{{% if not {name} %}}…{{% endif %}}"
        case "/":
            return "{% endif %}"
        case ">":
            return "the text itself; templates are not put into one another"
    return "{{ … }}; the signs around a slot cannot be changed"
