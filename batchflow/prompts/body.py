"""A request body before its slots are known: a tree of JSON values in which some texts may hold slots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from batchflow.errors import Fault

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the template; slots in it are text. A plain `str` in the tree is never a template."""

    text: str


@dataclass(frozen=True, slots=True)
class Value:
    """A slot that stands where a JSON value stands: as it is written, braces included."""

    text: str


class Place(NamedTuple):
    """A place in a body. offset: characters from the beginning of the text (or, if `key`, of the key) at `path`."""

    path: Path
    offset: int = 0
    key: bool = False

    def words(self) -> str:
        """`messages[0].content`, as people write paths."""
        said = ""
        for step in self.path:
            said += f"[{step}]" if isinstance(step, int) else f".{step}" if said else step
        return said or "the body"


class Locator(Protocol):
    """Where a place of the body stands in the user's file, as a fault about it."""

    def __call__(self, place: Place, cause: str, remedy: str) -> Fault: ...


class InFile(NamedTuple):
    """The locator that knows the file and no positions in it; it says the path in words."""

    shown: str

    def __call__(self, place: Place, cause: str, remedy: str) -> Fault:
        return Fault(self.shown, f"{place.words()}: {cause}", remedy)


class Body(NamedTuple):
    """root: the top level, in the author's order. values_by: what makes a slot a value, its missing quotes (JSON) or
    a filter (YAML). parameters: the top-level keys that the experiment file sets. replaced: what the template has in
    their place.
    """

    root: Mapping[str, Any]
    values_by: Literal["quotes", "filter"]
    locate: Locator
    parameters: frozenset[str] = frozenset()
    locate_parameters: Locator = InFile("parameters")
    replaced: Mapping[str, Any] = {}

    def with_parameters(self, parameters: Mapping[str, Any], locate: Locator | None = None) -> "Body":
        """Top-level keys replaced: an existing key keeps its place, new ones follow in the author's order.

        Parameters are plain values, never templates; `compile_template` refuses a slot in one. `locate` is asked
        about places whose path begins with such a key.
        """
        return self._replace(
            root={**self.root, **parameters},
            parameters=self.parameters | set(parameters),
            locate_parameters=locate or self.locate_parameters,
            replaced={**{key: self.root[key] for key in parameters if key in self.root}, **self.replaced},
        )

    def replaced_slots(self) -> Iterator[tuple[str, str]]:
        """Keys whose place in the template is taken, each with the text there that holds a slot."""
        for key, value in self.replaced.items():
            yield from ((key, text) for text in _texts(value) if "{{" in text or "{%" in text)

    def fault(self, place: Place, cause: str, remedy: str) -> Fault:
        own = bool(place.path) and place.path[0] in self.parameters
        return (self.locate_parameters if own else self.locate)(place, cause, remedy)


def _texts(value: Any) -> Iterator[str]:
    """The texts of a template that may hold slots."""
    if isinstance(value, Text | Value):
        yield value.text
    elif isinstance(value, Mapping | list):
        for member in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(member)
