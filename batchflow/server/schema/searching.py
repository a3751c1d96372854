"""Whether a pattern is found in a text, in bounded time.

The standard library tries one way through a pattern after the other, and `(a+)+b` has very many. Where that could take
long, all ways are followed at once: each part of the pattern turns the set of places where it may begin into the set
of places where it may end.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from batchflow.server.schema.effort import Effort
from batchflow.server.schema.forms import SchemaRefused

_COMPILER: Final[Any] = import_module("re._compiler")
_PARSER: Final[Any] = import_module("re._parser")
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_CHEAP: Final = 100_000  # ways through a pattern that may be tried one after the other


def found(pattern: str, text: str, effort: Effort) -> bool:
    """Whether the pattern is found; SchemaRefused where that would take too long to tell."""
    parts = _parts(pattern)
    if parts.ways(len(text)) <= _CHEAP:
        effort.spend(1)
        return re.search(pattern, text) is not None
    return bool(parts.after(parts.root, set(range(len(text) + 1)), text, effort))


@lru_cache(maxsize=256)
def _parts(pattern: str) -> "_Parts":
    return _Parts(_PARSER.parse(pattern))


class _Parts:
    """A parsed pattern; a part is (operation, argument)."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._compiled: dict[tuple[int, int], Any] = {}

    def ways(self, length: int) -> int:
        """About how many ways a search has to try in a text of this length."""
        return (length + 1) * _ways(self.root, length, repeated=False)

    def after(self, parts: Iterable[Any], starts: set[int], text: str, effort: Effort, flags: int = 0) -> set[int]:
        """Where a sequence of parts may end."""
        for part in parts:
            effort.spend(1 + len(starts))
            starts = self._after_one(part, starts, text, effort, flags)
            if not starts:
                break
        return starts

    def _after_one(self, part: Any, starts: set[int], text: str, effort: Effort, flags: int) -> set[int]:
        name, argument = str(part[0]), part[1]
        match name:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN" | "AT":
                match_at = self._leaf(part, flags).match
                return {made.end() for start in starts if (made := match_at(text, start))}
            case "BRANCH":
                return set().union(*(self.after(one, starts, text, effort, flags) for one in argument[1]))
            case "SUBPATTERN" if not argument[2]:  # no flag is taken back inside
                return self.after(argument[-1], starts, text, effort, flags | argument[1])
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeated(argument, starts, text, effort, flags)
            case "ASSERT" | "ASSERT_NOT":
                wanted = name == "ASSERT"
                return {start for start in starts if self._holds(argument, start, text, effort, flags) is wanted}
        raise SchemaRefused("a pattern of it could take for ever to check")

    def _repeated(self, argument: Any, starts: set[int], text: str, effort: Effort, flags: int) -> set[int]:
        least, most, inner = int(argument[0]), int(argument[1]), argument[2]
        for _ in range(least):
            following = self.after(inner, starts, text, effort, flags)
            if following == starts:
                break
            starts = following
        reached, fresh = set(starts), starts
        for _ in range(most - least):
            fresh = self.after(inner, fresh, text, effort, flags) - reached
            if not fresh:
                break
            reached |= fresh
        return reached

    def _holds(self, argument: Any, place: int, text: str, effort: Effort, flags: int) -> bool:
        """Whether what is asserted about a place stands after it, or before it."""
        direction, inner = argument
        if direction > 0:
            return bool(self.after(inner, {place}, text, effort, flags))
        start = place - inner.getwidth()[0]  # the standard library allows one width only
        return start >= 0 and place in self.after(inner, {start}, text, effort, flags)

    def _leaf(self, part: Any, flags: int) -> Any:
        key = (id(part), flags)
        if key not in self._compiled:
            self._compiled[key] = _COMPILER.compile(_PARSER.SubPattern(self.root.state, [part]), flags)
        return self._compiled[key]


def _ways(parts: Any, length: int, *, repeated: bool) -> int:
    """How many ways through these parts there are, counted high; what varies within a repetition counts as endless."""
    ways = 1
    for operation, argument in parts:
        name = str(operation)
        if name in _REPEATS:
            varies = argument[0] != argument[1]
            if varies and repeated:
                return _CHEAP + 1
            ways *= (min(length, int(argument[1])) + 1) if varies else 1
            ways *= _ways(argument[2], length, repeated=True)
        elif name == "BRANCH":
            if repeated:
                return _CHEAP + 1
            ways *= sum(_ways(one, length, repeated=False) for one in argument[1])
        elif name in {"SUBPATTERN", "ASSERT", "ASSERT_NOT"}:
            ways *= _ways(argument[-1], length, repeated=repeated)
        elif name == "ATOMIC_GROUP":
            ways *= _ways(argument, length, repeated=repeated)
        elif name == "GROUPREF_EXISTS":
            return _CHEAP + 1
        if ways > _CHEAP:
            break
    return ways
