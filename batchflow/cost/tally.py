"""The weights of many requests, added up so that they can still be priced one by one: in groups of one request file,
condition and model, and within them by size, because prices may depend on the length of a request.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from batchflow.cost.weighing import Weight  # `status` reads tallies and weighs nothing


class Group(NamedTuple):
    """Requests of about the same size (the binary digits of their bound). Tokens and bounds are sums; longest is the
    bound of the longest request; exact, unknown and uncapped count requests: whose tokens are exact, which bring what
    cannot be weighed, and whose answers nothing caps.
    """

    shard: int
    condition: int
    model: str
    requests: int = 0
    tokens: int = 0
    images: int = 0
    bound: int = 0
    longest: int = 0
    output: int = 0
    exact: int = 0
    unknown: int = 0
    uncapped: int = 0

    def to_json(self) -> dict[str, Any]:
        """Without what is nothing."""
        return {name: value for name in self._fields if (value := getattr(self, name))}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        kept: dict[str, Any] = {"shard": 0, "condition": 0, "model": ""} | dict(value)
        return cls(**kept)


class Tally:
    """Weights as they come, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int, str, int], list[int]] = defaultdict(lambda: [0] * 9)

    def add(self, weight: "Weight", *, shard: int, condition: int, model: str, times: int = 1) -> None:
        """times: how many requests weigh the same."""
        sums = self._sums[shard, condition, model, weight.bound.bit_length()]
        sums[0] += times
        sums[1] += times * weight.tokens
        sums[2] += times * weight.images
        sums[3] += times * weight.bound
        sums[4] = max(sums[4], weight.bound)
        sums[5] += times * (weight.output or 0)
        sums[6] += times * weight.exact
        sums[7] += times * weight.unknown
        sums[8] += times * (weight.output is None)

    def groups(self) -> tuple[Group, ...]:
        """In the order of shards, conditions and sizes."""
        keys = sorted(self._sums, key=lambda key: (key[0], key[1], key[3], key[2]))
        return tuple(Group(*key[:3], *self._sums[key]) for key in keys)


def by_shard(groups: Iterable[Group]) -> dict[int, tuple[Group, ...]]:
    """The groups of each request file."""
    found: dict[int, list[Group]] = defaultdict(list)
    for group in groups:
        found[group.shard].append(group)
    return {shard: tuple(each) for shard, each in found.items()}
