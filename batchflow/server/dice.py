"""Choices drawn from a hash: the same on every machine and Python version, unlike `random`."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeVar

Item = TypeVar("Item")

_BLOCK: Final = 256  # bits of one hash
_SPARE: Final = 64  # bits beyond a number's own, so that every value is as likely as the others


class Dice:
    """A few choices among a few items; what it gives is pinned by the wording of plain answers."""

    def __init__(self, *parts: bytes) -> None:
        self._value = int.from_bytes(sha256(b"\0".join(parts)).digest())

    def pick(self, items: Sequence[Item]) -> Item:
        self._value, index = divmod(self._value, len(items))
        return items[index]


class Stream:
    """Any number of choices, of any size."""

    def __init__(self, *parts: bytes) -> None:
        self._key = sha256(b"\0".join(parts)).digest()
        self._blocks = 0
        self._value = 0
        self._bits = 0

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        wanted = limit.bit_length() + _SPARE
        while self._bits < wanted:
            block = sha256(self._key + self._blocks.to_bytes(8)).digest()
            self._blocks += 1
            self._value = (self._value << _BLOCK) | int.from_bytes(block)
            self._bits += _BLOCK
        taken = self._value & ((1 << wanted) - 1)
        self._value >>= wanted
        self._bits -= wanted
        return taken % limit

    def between(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def chance(self, one_in: int) -> bool:
        return self.below(one_in) == 0

    def share(self) -> float:
        """A number from 0 to below 1."""
        return self.below(1 << 53) / (1 << 53)

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in items]
