"""YAML text -> a tree of values that know where they stand, by the core rules of YAML 1.2 and without its traps.

Built from the parser's events, not by its constructors: no tag runs code, dates and leading zeros stay text, floats
keep their digits; depth, size and aliases are bounded. What is wrong but readable is collected; broken syntax ends it.
"""

import re
from collections.abc import Iterator, Mapping
from math import isinf
from typing import Any, Final, NamedTuple

import yaml

from batchflow.errors import Fault
from batchflow.identity import JsonNumber
from batchflow.spec.source_text import SourceText
from batchflow.spec.yaml_faults import SLOT, NotReadable, explain_syntax

MAX_DEPTH: Final = 100
MAX_NODES: Final = 200_000
MAX_DIGITS: Final = 300
MAX_FAULTS: Final = 50  # more than anybody reads at once

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"([-+]?)(?:(0|[1-9][0-9]*)\.([0-9]*)|\.([0-9]+)|(0|[1-9][0-9]*)(?=[eE]))([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CORE: Final = "tag:yaml.org,2002:"
_QUOTED_TAGS: Final = frozenset({None, "!", f"{_CORE}str"})

_STARTS: Final = {"experiment": "`batchflow init DIR` writes a study to start from"}

# By YAML 1.2 these are characters like any other; the parser still takes them for line ends.
_OLD_LINE_ENDS: Final = "\x85\u2028\u2029"


class Node(NamedTuple):
    """One value. `start` is its offset; `key_starts` those of a mapping's keys; `size` counts the nodes in it, each use
    of an alias anew; `broken` means that a fault is known here, so that what follows from it is not said as well.
    """

    value: Any  # a scalar, dict[str, Node] or list[Node]
    start: int
    key_starts: Mapping[str, int] = {}
    size: int = 1
    broken: bool = False

    def plain(self) -> Any:
        """The value without positions: dict, list, str, int, JsonNumber, bool, None."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, step: str | int) -> "Node | None":
        found: Node | None = None
        if isinstance(self.value, dict) and isinstance(step, str):
            found = self.value.get(step)
        elif isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            found = self.value[step]
        return found


class _Frame:
    """A mapping or sequence whose end has not been met yet."""

    def __init__(self, start: int, anchor: str | None, *, mapping: bool) -> None:
        self.start = start
        self.anchor = anchor
        self.mapping = mapping
        self.items: list[Node] = []
        self.members: dict[str, Node] = {}
        self.key_starts: dict[str, int] = {}
        self.size = 1
        self.broken = False
        self.awaits_key = mapping
        self.key: str | None = None  # None while a value is awaited: its key was refused

    def closed(self) -> Node:
        value: Any = self.members if self.mapping else self.items
        return Node(value, self.start, self.key_starts, self.size, self.broken)


class _Builder:
    """Folds the parser's events into nodes; faults that leave the rest readable are collected."""

    def __init__(self, source: SourceText, back: dict[int, int]) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self._back = back
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None

    def build(self, events: Iterator[yaml.Event]) -> Node:
        for event in events:
            start = event.start_mark.index if event.start_mark is not None else 0
            match event:
                case yaml.DocumentStartEvent() if self._root is not None:
                    raise NotReadable(
                        self.source.fault(
                            start, "a second document begins here (`---`)", f"keep one {self.source.kind} per file"
                        )
                    )
                case yaml.AliasEvent():
                    self._add(self._alias(str(event.anchor), start), None)
                case yaml.ScalarEvent():
                    self._scalar(event, start)
                case yaml.CollectionStartEvent():
                    self._open(event, start)
                case yaml.CollectionEndEvent():
                    frame = self._frames.pop()
                    self._add(frame.closed(), frame.anchor)
        if self._root is None or self._root.value is None:
            raise NotReadable(
                Fault(
                    self.source.file,
                    f"the file holds no {self.source.kind}: it is empty",
                    _STARTS.get(self.source.kind, "write it, or name another file"),
                )
            )
        return self._root

    def _fault(self, start: int, cause: str, remedy: str) -> None:
        if len(self.faults) <= MAX_FAULTS:
            self.faults.append(self.source.fault(start, cause, remedy))

    def _open(self, event: yaml.CollectionStartEvent, start: int) -> None:
        if len(self._frames) >= MAX_DEPTH:
            raise NotReadable(
                self.source.fault(
                    start, f"more than {MAX_DEPTH} levels are nested here", "check the brackets of this line"
                )
            )
        frame = _Frame(start, event.anchor, mapping=isinstance(event, yaml.MappingStartEvent))
        if event.tag not in {None, "!", f"{_CORE}map" if frame.mapping else f"{_CORE}seq"}:
            self._bad_tag(event.tag, start)
            frame.broken = True
        self._frames.append(frame)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._frames:
            self._root = node
            return
        frame = self._frames[-1]
        frame.size += node.size
        if frame.size > MAX_NODES:
            raise NotReadable(
                self.source.fault(
                    node.start,
                    f"the file holds more values than any {self.source.kind}, each use of an alias counted",
                    "use fewer aliases; long tables belong into the data file",
                )
            )
        if not frame.mapping:
            frame.items.append(node)
        elif frame.awaits_key:
            self._take_key(frame, node)
        else:
            frame.awaits_key = True
            if frame.key is not None:
                frame.members[frame.key] = node

    def _take_key(self, frame: _Frame, node: Node) -> None:
        frame.awaits_key = False
        frame.key = None
        key = node.value
        if node.broken or not isinstance(key, str):
            frame.broken = True
            if not node.broken:
                self._odd_key(frame, node)
        elif key in frame.key_starts:
            line, _ = self.source.position(frame.key_starts[key])
            self._fault(
                node.start,
                f"the key `{key}` stands here a second time (first in line {line})",
                "keep one of the two and remove the other",
            )
        elif key == "<<" and self.source.text.startswith("<<", node.start):
            self._fault(node.start, "`<<` does not merge mappings here", "write the keys out, each in its place")
            frame.broken = True
        else:
            frame.key = key
            frame.key_starts[key] = node.start

    def _odd_key(self, frame: _Frame, node: Node) -> None:
        slot = SLOT.match(self.source.text, frame.start)
        if isinstance(node.value, dict) and slot:
            cause = f"{slot[0]} stands here without quotes, so that YAML takes it for a mapping"
            self._fault(frame.start, cause, f'put the whole value in quotes: "{slot[0]}"')
        elif isinstance(node.value, dict | list):
            self._fault(
                node.start,
                "a key must be a text, not a mapping or a list",
                "write `key: value`, the key as a plain word",
            )
        else:
            end = re.compile(r"[^\s:,}]*").match(self.source.text, node.start)
            written = end[0] if end else ""
            kind = "nothing" if node.value is None else "true or false" if isinstance(node.value, bool) else "a number"
            self._fault(
                node.start,
                f"a key must be a text; this one is {kind}",
                f'put it in quotes: "{written}"' if written else "name the key",
            )

    def _alias(self, anchor: str, start: int) -> Node:
        if any(frame.anchor == anchor for frame in self._frames):
            self._fault(
                start,
                f"the alias *{anchor} refers to the value that it stands in: it would never end",
                "write the value out",
            )
        elif anchor not in self._anchors:
            self._fault(
                start,
                f"*{anchor} at the beginning of a value is an alias, and there is no &{anchor} before it",
                "put a text that begins with * in quotes",
            )
        else:
            return self._anchors[anchor]._replace(start=start)
        return Node(None, start, broken=True)

    def _bad_tag(self, tag: str, start: int) -> None:
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        self._fault(
            start,
            f"the tag {shown} does not belong in {self.source.a_kind}",
            "remove it; put a text that begins with ! in quotes",
        )

    def _scalar(self, event: yaml.ScalarEvent, start: int) -> None:
        text = event.value.translate(self._back)
        plain = event.implicit[0] and event.tag is None
        if _SURROGATE.search(text):  # only the parser without libyaml lets it pass
            self._fault(start, "this text holds an escape for half a character", "write the character itself")
            node = Node("", start, broken=True)
        elif plain or event.tag in {f"{_CORE}{kind}" for kind in ("int", "float", "bool", "null")}:
            node = self._resolved(text, start)
            if not plain and (isinstance(node.value, str) and not node.broken):
                self._bad_tag(str(event.tag), start)
        else:
            node = Node(text, start)
            if event.tag not in _QUOTED_TAGS:
                self._bad_tag(str(event.tag), start)
                node = node._replace(broken=True)
        self._add(node, event.anchor)

    def _resolved(self, text: str, start: int) -> Node:
        """A scalar without quotes, by the core schema of YAML 1.2."""
        if text in _NULL:
            return Node(None, start)
        if text in _TRUE or text in _FALSE:
            return Node(text in _TRUE, start)
        if _NOT_FINITE.fullmatch(text):
            self._fault(start, f"{text} is no number that JSON knows", "write a number, or put a text in quotes")
            return Node(text, start, broken=True)
        whole, broken = _INT.fullmatch(text), _FLOAT.fullmatch(text)
        if not whole and not broken:
            return Node(text, start)
        number: Any = _json_number(broken) if broken else int(text) if len(text) <= MAX_DIGITS else None
        if number is None or isinf(number):
            self._fault(
                start,
                "this number is larger than any that JSON readers take",
                "write a smaller number, or put a text in quotes",
            )
            return Node(text, start, broken=True)
        return Node(number, start)


def _json_number(match: re.Match[str]) -> JsonNumber:
    """The number with its digits as written, as JSON allows it: `.5` -> `0.5`, `1.` -> `1.0`, `+1e3` -> `1e3`."""
    sign, whole, fraction, bare_fraction, mantissa, exponent = match.groups()
    sign, exponent = "-" if sign == "-" else "", exponent or ""
    if mantissa is not None:
        return JsonNumber(f"{sign}{mantissa}{exponent}")
    return JsonNumber(f"{sign}{whole or '0'}.{bare_fraction or fraction or '0'}{exponent}")


def read_tree(source: SourceText) -> tuple[Node, list[Fault]]:
    """The tree of a YAML text, and the faults that leave it readable. Raises NotReadable where nothing can be read."""
    forth, back = _stand_ins(source.text)
    builder = _Builder(source, back)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return builder.build(yaml.parse(source.text.translate(forth), Loader=loader)), builder.faults
    except yaml.YAMLError as error:
        raise NotReadable(explain_syntax(source, error)) from error


def _stand_ins(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """Characters for the parser to see in place of old line ends, and the way back; none of them occurs in the text."""
    used = set(text)
    free = (code for code in range(0xE000, 0xF900) if chr(code) not in used)
    forth = {ord(end): next(free) for end in _OLD_LINE_ENDS if end in used}
    return forth, {code: end for end, code in forth.items()}
