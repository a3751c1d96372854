"""The prices of a model, and what a request costs by them: always one request at a time, for long ones cost more."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, TypeAlias

_MILLION: Final = 1_000_000

Steps: TypeAlias = tuple[tuple[int, float], ...]  # (beyond so many input tokens, US dollars for a million), ascending


class Prices(NamedTuple):
    """US dollars for a million tokens, by the length of the request. cached: of input that the provider still had;
    written: of input that it keeps for later ones.
    """

    input: Steps
    output: Steps
    cached: Steps = ()
    written: Steps = ()

    def cost(
        self, input_: float, output: float, *, cached: int = 0, written: int = 0, length: int | None = None
    ) -> float:
        """US dollars of one request. input_ includes cached and written. length: of the request, where it is not
        input_, as for the mean of several.
        """
        beyond = input_ if length is None else length
        cached, written = min(cached, int(input_)), min(written, max(0, int(input_) - cached))
        plain = _at(self.input, beyond)
        paid = (input_ - cached - written) * plain + output * _at(self.output, beyond)
        paid += cached * (_at(self.cached, beyond) if self.cached else plain)
        paid += written * (_at(self.written, beyond) if self.written else plain)
        return paid / _MILLION

    def most(self, input_: int, output: int, length: int) -> float:
        """US dollars that requests may cost at most which have so many tokens together, none longer than `length`."""
        dearest = max(_up_to(steps, length) for steps in (self.input, self.cached, self.written))
        return (input_ * dearest + output * _up_to(self.output, length)) / _MILLION

    def to_json(self) -> dict[str, Any]:
        kinds = {name: getattr(self, name) for name in self._fields}
        return {name: [list(step) for step in steps] for name, steps in kinds.items() if steps}

    @classmethod
    def from_json(cls, value: Mapping[str, Sequence[Sequence[Any]]]) -> Self:
        return cls(**{name: tuple((int(step[0]), float(step[1])) for step in steps) for name, steps in value.items()})


FREE: Final = Prices(((0, 0.0),), ((0, 0.0),))


class Rates(NamedTuple):
    """What a model costs in a batch, and asked one by one (None where nobody says). source: where the prices are from,
    with its version; known_as: the model by its name there. batch_known: the batch has prices of its own; else these
    are the full ones.
    """

    batch: Prices
    single: Prices | None
    source: str
    known_as: str = ""
    batch_known: bool = True


def _at(steps: Steps, length: float) -> float:
    price = 0.0
    for beyond, dollars in steps:
        if beyond and length <= beyond:
            break
        price = dollars
    return price


def _up_to(steps: Steps, length: int) -> float:
    """The dearest of the prices that a request of at most this length can have."""
    return max((dollars for beyond, dollars in steps if not beyond or length > beyond), default=0.0)
