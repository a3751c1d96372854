"""Reads JSON with slots, every value with its position in the text as the author wrote it.

The quotes decide: a slot inside quotes is part of a text, a slot outside them stands for a value.
"""

import json
import re
from collections.abc import Callable, Sequence
from math import isinf
from typing import Any, Final

from batchflow.errors import Fault, TemplateError
from batchflow.identity import JsonNumber
from batchflow.prompts.body import Path, Place, Text, Value
from batchflow.prompts.slots import slot_end

NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
MAX_DEPTH: Final = 100
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_CHARACTER: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
_WRONG_QUOTES: Final = ("'", "`", "\u201c", "\u201d", "\u201e")
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_WORD: Final = re.compile(r"[^\s,\]}:]+")
_LITERALS: Final = {"true": True, "false": False, "null": None}
_ELSEWHERE: Final = {"True": "true", "False": "false", "None": "null", "TRUE": "true", "FALSE": "false", "NULL": "null"}


class JsonReader:
    """One text; kind: what it is to be. `starts` and `keys` hold where each value and each key begins, by path."""

    def __init__(self, text: str, shown: str, kind: str = "template") -> None:
        self._text, self._shown, self._kind = text, shown, kind
        self.starts: dict[Path, int] = {}
        self.keys: dict[Path, int] = {}

    def read(self) -> Any:
        """The value. Errors: TemplateError at the first thing that is no JSON."""
        value, position = self._value(self._skip(0), ())
        position = self._skip(position)
        if position < len(self._text):
            raise self._wrong(position, "something follows after the end of the JSON", self._one())
        return value

    def _one(self) -> str:
        return "a template is one JSON object" if self._kind == "template" else "keep one JSON value in the file"

    def __call__(self, place: Place, cause: str, remedy: str) -> Fault:
        """The locator of this text; a path that is not in it is said in words at its nearest ancestor."""
        path = place.path
        if place.key and path in self.keys:
            return self._fault(self._inside(self.keys[path], place.offset), cause, remedy)
        if path in self.starts:
            return self._fault(self._inside(self.starts[path], place.offset), cause, remedy)
        while path and path not in self.starts:
            path = path[:-1]
        return self._fault(self.starts.get(path, 0), cause, remedy)

    def _inside(self, start: int, offset: int) -> int:
        """Position in the file of a character of a text: escapes are longer there."""
        if not self._text.startswith('"', start):
            return start + offset
        position = start + 1
        for _ in range(offset):
            position += len(match[0]) if (match := _CHARACTER.match(self._text, position)) else 1
        return position

    def _fault(self, position: int, cause: str, remedy: str) -> Fault:
        line_start = self._text.rfind("\n", 0, position) + 1
        line = self._text[line_start:].split("\n", 1)[0].rstrip("\r")
        number = self._text.count("\n", 0, position) + 1
        return Fault(self._shown, cause, remedy, number, position - line_start + 1, line)

    def _wrong(self, position: int, cause: str, remedy: str) -> TemplateError:
        if self._text.startswith(("//", "/*", "#"), position):
            cause, remedy = "JSON has no comments", "delete the comment"
            if self._kind == "template":
                remedy += "; `{{! comment }}` inside a text is allowed"
        return TemplateError([self._fault(position, cause, remedy)])

    def _skip(self, position: int) -> int:
        match = _SPACE.match(self._text, position)
        return match.end() if match else position

    def _value(self, position: int, path: Path) -> tuple[Any, int]:
        self.starts[path] = position
        if len(path) > MAX_DEPTH:
            raise self._wrong(
                position, f"values lie more than {MAX_DEPTH} deep in one another", f"flatten the {self._kind}"
            )
        if self._text.startswith("{{", position):
            return self._slot(position)
        match self._text[position : position + 1]:
            case '"':
                text, end = self._string(position)
                return Text(text), end
            case "{":
                return self._object(position, path)
            case "[":
                return self._array(position, path)
        return self._scalar(position)

    def _scalar(self, position: int) -> tuple[Any, int]:
        if number := NUMBER.match(self._text, position):
            following = self._text[number.end() : number.end() + 1]
            if not (following.isalnum() or following in {".", "+", "-", "_"}):
                try:
                    return finite(number[0]), number.end()
                except ValueError as error:
                    raise self._wrong(position, str(error), "write a smaller number, or put it in quotes") from None
        word = match[0] if (match := _WORD.match(self._text, position)) else ""
        if word in _LITERALS:
            return _LITERALS[word], position + len(word)
        raise self._no_value(position, word)

    def _slot(self, position: int) -> tuple[Value, int]:
        end = slot_end(self._text, position)
        line_end = self._text.find("\n", position)
        if end is None or 0 <= line_end < end:
            raise self._wrong(position, "a slot is opened here and not closed on this line", "close it with }}")
        return Value(self._text[position:end]), end

    def _no_value(self, position: int, word: str) -> TemplateError:
        cause, remedy = _not_a_value(word)
        if position >= len(self._text):
            cause, remedy = "the file ends in the middle of the JSON", "close every { and [ and quote"
        return self._wrong(position, cause, remedy)

    def _object(self, position: int, path: Path) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        current = self._skip(position + 1)
        while not self._text.startswith("}", current):
            if members:
                current = self._comma(current, "}", path)
            if not self._text.startswith('"', current):
                raise self._no_key(current)
            key, end = self._string(current)
            here = (*path, key)
            if key in members:
                raise self._wrong(current, f"the key {key!r} stands twice in this object", "delete one of them")
            self.keys[here] = current
            current = self._skip(end)
            if not self._text.startswith(":", current):
                raise self._wrong(current, f"a colon is missing after the key {key!r}", 'write "key": value')
            members[key], current = self._value(self._skip(current + 1), here)
            current = self._skip(current)
        return members, current + 1

    def _array(self, position: int, path: Path) -> tuple[list[Any], int]:
        members: list[Any] = []
        current = self._skip(position + 1)
        while not self._text.startswith("]", current):
            if members:
                current = self._comma(current, "]", path)
            value, current = self._value(current, (*path, len(members)))
            members.append(value)
            current = self._skip(current)
        return members, current + 1

    def _comma(self, position: int, closing: str, path: Path) -> int:
        """The position after the comma that must stand here."""
        if position >= len(self._text):
            opened = self._fault(self.starts[path], "", "")
            cause = f"the file ends before the {closing} that closes line {opened.line}"
            raise self._wrong(position, cause, f"add {closing}")
        if not self._text.startswith(",", position):
            raise self._wrong(
                position, f"a comma or {closing} is missing before this", "put a comma between two values"
            )
        following = self._skip(position + 1)
        if self._text.startswith(("}", "]"), following):
            raise self._wrong(position, f"there is a comma before {self._text[following]}", "delete this comma")
        return following

    def _no_key(self, position: int) -> TemplateError:
        word = match[0] if (match := _WORD.match(self._text, position)) else ""
        if not word:
            return self._no_value(position, word)
        if word.startswith("{{"):
            return self._wrong(position, "a slot cannot stand for a key", "write the key; slots belong into values")
        if word[0] in _WRONG_QUOTES:
            return self._no_value(position, word)
        return self._wrong(
            position, f"a key in straight double quotes is missing before {word!r}", 'write "key": value'
        )

    def _string(self, position: int) -> tuple[str, int]:
        """The text that is quoted here, and the position after its closing quote."""
        current = position + 1
        while True:
            character = self._text[current : current + 1]
            if character == '"':
                return json.loads(self._text[position : current + 1]), current + 1
            if character == "":
                raise self._wrong(position, "this text is never closed", "close it with a double quote")
            if character in {"\n", "\r"}:
                cause = "the text is not closed on its line"
                raise self._wrong(position, cause, 'close it with a double quote; a line break inside a text is "\\n"')
            if character < " ":
                raise self._wrong(current, "a control character stands in a text", f'write "\\u{ord(character):04x}"')
            if character == "\\":
                match = _ESCAPE.match(self._text, current)
                if not match:
                    raise self._wrong(
                        current,
                        'a backslash must be followed by one of " \\ / b f n r t u',
                        "write \\\\ for a backslash",
                    )
                current = match.end()
            else:
                current += 1


def _not_a_value(word: str) -> tuple[str, str]:
    """Cause and remedy for a word that stands where a value must stand."""
    if word in _ELSEWHERE:
        return f"{word} is not JSON", f"write {_ELSEWHERE[word]}"
    if word[:1] in _WRONG_QUOTES:
        return f"texts stand in straight double quotes, not in {word[0]}", 'write "…"'
    if word[:1] in {",", "]", "}", ""}:
        return "a value is missing here", "write a value, or delete the comma before it"
    if word in {"NaN", "Infinity", "-Infinity"} or word[0].isdigit() or word[0] in "+-.":
        return f"{word} is no JSON number", "write numbers like 1, -2, 0.5 or 1e3"
    return f"{word!r} is no JSON value", f'put a text in quotes: "{word}"'


def finite(text: str) -> JsonNumber:
    """A JSON number. Errors: ValueError for one beyond every double: no server reads it, and Python may not either."""
    number = JsonNumber(text)
    if isinf(number):
        raise ValueError("this number is larger than any that JSON readers take")
    return number


def read_pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys must differ. Errors: ValueError."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def read_json(text: str, *, whole: Callable[[str], Any] = finite) -> Any:
    """JSON without slots (a cell); numbers keep their text. whole: what makes a whole number. Errors: ValueError."""

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON number")

    return json.loads(text, parse_int=whole, parse_float=finite, parse_constant=refuse, object_pairs_hook=read_pairs)
