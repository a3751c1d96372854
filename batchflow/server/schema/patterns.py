"""Text that a regular expression matches, made from its parsed form. A candidate, no more: the caller checks it."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from batchflow.server.dice import Stream

# The standard library's own parser: the one that reads the pattern when the candidate is checked.
_PARSER: Final[Any] = import_module("re._parser")

_SHOWN: Final = "".join(map(chr, range(0x20, 0x7F)))
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_SPACE": " ",
    "CATEGORY_WORD": _LETTERS + _LETTERS.upper() + _DIGITS + "_",
}
_LONGEST: Final = 20_000
_WIDEST: Final = 4_096  # characters of a range that are looked at


class NotGenerated(Exception):
    """The pattern uses what no text is generated for."""


@lru_cache(maxsize=256)
def _parsed(pattern: str) -> Any:
    return _PARSER.parse(pattern)


def matching(pattern: str, stream: Stream, *, stretch: int, fill: bool = False) -> str:
    """A candidate for the pattern; `stretch` = how much more often than needed a repetition may repeat, or does."""
    text = _Writer(stream, stretch, fill=fill).sequence(_parsed(pattern))
    if len(text) > _LONGEST:
        raise NotGenerated
    return text


class _Writer:
    def __init__(self, stream: Stream, stretch: int, *, fill: bool) -> None:
        self._stream = stream
        self._fill = fill
        self._stretch = stretch
        self._groups: dict[int, str] = {}
        self._size = 0
        self._writers: dict[str, Callable[[Any], str]] = {
            "LITERAL": chr,
            "NOT_LITERAL": lambda code: self._pick(set(_SHOWN) - {chr(code)}),
            "ANY": lambda _: self._pick(_LETTERS),
            "IN": self._one_of,
            "BRANCH": lambda branch: self.sequence(stream.pick(branch[1])),
            "SUBPATTERN": self._group,
            "ATOMIC_GROUP": self.sequence,
            "MAX_REPEAT": self._repeated,
            "MIN_REPEAT": self._repeated,
            "POSSESSIVE_REPEAT": self._repeated,
            "GROUPREF": lambda number: self._groups.get(number, ""),
            # conditions on what stands around: whether they hold is seen when the candidate is checked
            **dict.fromkeys(("AT", "ASSERT", "ASSERT_NOT"), lambda _: ""),
        }

    def sequence(self, parsed: Iterable[tuple[Any, Any]]) -> str:
        written = []
        for operation, argument in parsed:
            write = self._writers.get(str(operation))
            if write is None or self._size > _LONGEST:
                raise NotGenerated
            written.append(write(argument))
            self._size += 1
        return "".join(written)

    def _pick(self, characters: Iterable[str]) -> str:
        known = sorted(characters)
        if not known:
            raise NotGenerated
        return self._stream.pick(known)

    def _group(self, argument: tuple[Any, ...]) -> str:
        number, inner = argument[0], argument[-1]
        text = self.sequence(inner)
        if number is not None:
            self._groups[number] = text
        return text

    def _repeated(self, argument: tuple[int, Any, Any]) -> str:
        least, most, inner = int(argument[0]), int(argument[1]), argument[2]
        if least > _LONGEST:
            raise NotGenerated
        upper = max(least, min(most, least + self._stretch))
        times = upper if self._fill else self._stream.between(least, upper)
        return "".join(self.sequence(inner) for _ in range(times))

    def _one_of(self, members: list[tuple[Any, Any]]) -> str:
        negated = str(members[0][0]) == "NEGATE"
        named: set[str] = set()
        for operation, argument in members[negated:]:
            named |= _characters(str(operation), argument)
        return self._pick(set(_SHOWN) - named if negated else named)


def _characters(operation: str, argument: Any) -> set[str]:
    match operation:
        case "LITERAL":
            return {chr(argument)}
        case "RANGE":
            first, last = argument
            return set(map(chr, range(first, min(last, first + _WIDEST) + 1)))
        case "CATEGORY":
            name = str(argument)
            if name in _CATEGORIES:
                return set(_CATEGORIES[name])
            return set(_SHOWN) - set(_CATEGORIES[name.replace("_NOT_", "_")])
        case _:
            raise NotGenerated
