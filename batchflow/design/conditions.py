"""Factors and their crossing: the conditions of a study, each with a number and a text that names it for ever."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, NamedTuple

from batchflow.identity import json_bytes, json_text, sha256_hex

LONGEST: Final = 80  # characters of a level in the text of a condition
_PLAIN: Final = re.compile(r"[^\s,=\"'][^,=\"\n\r]*")
_DIGITS: Final = 8


class Level(NamedTuple):
    """One value of a factor. label: how people and tables call it; value: what is sent."""

    label: str
    value: Any

    @property
    def text(self) -> str:
        """What a slot in a text shows: texts as they are, other values as JSON."""
        return self.value if isinstance(self.value, str) else as_text(self.value)


@dataclass(frozen=True, slots=True)
class Factor:
    """A varied variable. labelled: tables show the labels, not the values. type: the narrowest of BOOLEAN, BIGINT,
    DOUBLE and VARCHAR that holds every level; null fits all.
    """

    name: str
    levels: tuple[Level, ...]
    labelled: bool = False
    type: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", self._narrowest())

    def _narrowest(self) -> str:
        values = [level.value for level in self.levels if level.value is not None]
        if self.labelled or not values:
            return "VARCHAR"
        if all(isinstance(value, bool) for value in values):
            return "BOOLEAN"
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
            return "VARCHAR"
        whole = all(isinstance(value, int) and abs(value) < 2**63 for value in values)
        return "BIGINT" if whole else "DOUBLE"

    def cell(self, level: Level) -> Any:
        """The level as a table shows it, in the factor's type."""
        if level.value is None and not self.labelled:
            return None
        if self.type == "DOUBLE":
            return float(level.value)
        return level.label if self.type == "VARCHAR" else level.value


class Condition(NamedTuple):
    """One combination of levels. number counts from 1 in the full crossing, whatever is left out of it."""

    number: int
    text: str
    levels: Mapping[str, Level] = {}


def as_text(value: Any) -> str:
    """A value on one line: texts as they are, anything else as compact JSON."""
    return value if isinstance(value, str) else json_bytes(value).decode()


def cross(factors: Sequence[Factor], zipped: Sequence[Sequence[str]] = ()) -> list[Condition]:
    """Every combination of levels, the last factor varying fastest; zipped factors vary together, level by level.

    Without factors there is one condition, whose text is empty.
    """
    by_name = {factor.name: factor for factor in factors}
    axes: list[list[str]] = []
    for factor in factors:
        group = next((list(names) for names in zipped if factor.name in names), [factor.name])
        if group not in axes:
            axes.append(group)
    sizes = [range(len(by_name[names[0]].levels)) for names in axes]
    conditions = []
    for number, places in enumerate(product(*sizes), start=1):
        chosen = {
            name: by_name[name].levels[place] for names, place in zip(axes, places, strict=True) for name in names
        }
        levels = {factor.name: chosen[factor.name] for factor in factors}
        conditions.append(Condition(number, condition_text(levels), levels))
    return conditions


def condition_text(levels: Mapping[str, Level]) -> str:
    """`temperature=0,model=gpt-4o`: names and labels in the author's order; what could be misread stands in quotes,
    what is long is cut and told apart by a hash.
    """
    return ",".join(f"{_word(name)}={_word(level.label)}" for name, level in levels.items())


def _word(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - _DIGITS - 1]}…{sha256_hex(text.encode('utf-8', 'surrogatepass'))[:_DIGITS]}"
    return text if _PLAIN.fullmatch(text) and text == text.strip() else json_text(text)
