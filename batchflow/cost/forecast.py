"""What requests will cost: an estimate of their input, a bound of the whole, and who says so. One value, whoever shows
it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from batchflow.cost.book import PriceBook
from batchflow.cost.expected import NOTHING, Expected, Observed, expect
from batchflow.cost.rates import Prices, Rates
from batchflow.cost.tally import Group

_COUNTS: Final = ("requests", "unknown", "uncapped")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """The price of a model: US dollars for a million tokens of a short request in a batch; None where it is not known.
    source: where it is from, with its version; as_of: the day that it is of; known_as: the model by its name there.
    batch_known: it is a price for batches; else the full one. tiers: long requests cost more for each token.
    """

    model: str
    source: str | None = None
    as_of: str | None = None
    known_as: str | None = None
    input: float | None = None
    output: float | None = None
    batch_known: bool = False
    tiers: bool = False


@dataclass(frozen=True, slots=True)
class CostForecast:
    """What some requests weigh and cost; US dollars. counted: how input_tokens were: exact, or estimate.

    input_tokens: text, and images at their most. input_bound, output_bound: tokens at most; None where nobody knows: no
    cap, or something that is not in the body. input_usd: of input_tokens alone. bound_usd: of both bounds; single_usd:
    the same, asked one by one at the full price. None where a price or a bound is not known.
    uncapped, unweighed: requests whose answers nothing caps, and that bring what cannot be weighed.
    expected: what the answers that are there make likely; None where they are too few, or of other models.
    simulated: nothing is paid; `real` is then what OpenAI would take for the same.
    """

    requests: int
    files: int
    counted: str
    input_tokens: int
    input_bound: int | None
    output_bound: int | None
    input_usd: float | None
    bound_usd: float | None
    single_usd: float | None
    uncapped: int
    unweighed: int
    prices: tuple[ModelPrice, ...]
    simulated: bool
    expected: Expected | None = None
    real: Self | None = None

    @property
    def unknown_prices(self) -> tuple[str, ...]:
        """The models whose price nobody knows."""
        return tuple(price.model for price in self.prices if price.source is None)

    def to_json(self) -> dict[str, Any]:
        """As --json shows it; dollars to a millionth of a cent, tokens to a tenth."""
        facts: dict[str, Any] = _rounded(asdict(self))
        return facts


def _rounded(value: Any, digits: int = 8) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each, 1 if name.endswith("_tokens") else digits) for name, each in value.items()}
    return round(value, digits) if isinstance(value, float) else value


def forecast(
    groups: Sequence[Group],
    files: int,
    book: PriceBook,
    seen: Iterable[Observed] = (),
    named: Iterable[str] = (),
    *,
    pooled: bool | None = None,
) -> CostForecast:
    """What the requests of some files will cost. At the local provider nothing; `real` says what it would be.

    seen: answers like those to come; named: outcomes that they are looked at for, whether there is one or not.
    pooled: as `expect` takes it.
    """
    found = _forecast(groups, files, book)
    if (expected := expect(groups, seen, named, pooled=pooled)) is not None:
        found = replace(found, expected=_at_most(expected, found))
    if not book.simulated:
        return found
    text = sum(group.tokens for group in groups)  # the local server looks at no image
    nothing = None if found.expected is None else replace(found.expected, usd=NOTHING)
    free = replace(found, input_tokens=text, input_usd=0.0, bound_usd=0.0, single_usd=0.0, prices=(), expected=nothing)
    return replace(free, simulated=True, real=found)


def _at_most(expected: Expected, found: CostForecast) -> Expected:
    """No interval goes beyond what is known for certain."""
    return replace(
        expected,
        usd=None if expected.usd is None else expected.usd.within(found.bound_usd),
        input_tokens=expected.input_tokens.within(found.input_bound),
        output_tokens=expected.output_tokens.within(found.output_bound),
    )


def _forecast(groups: Sequence[Group], files: int, book: PriceBook) -> CostForecast:
    """The same for real money."""
    requests, unweighed, uncapped = (sum(getattr(each, name) for each in groups) for name in _COUNTS)
    models = sorted({group.model for group in groups})
    return CostForecast(
        requests=requests,
        files=files,
        counted="exact" if all(group.exact == group.requests for group in groups) else "estimate",
        input_tokens=sum(group.tokens + group.images for group in groups),
        input_bound=None if unweighed else sum(group.bound for group in groups),
        output_bound=None if uncapped else sum(group.output for group in groups),
        input_usd=_input_usd(groups, book),
        bound_usd=bound_of(groups, book),
        single_usd=bound_of(groups, book, single=True),
        uncapped=uncapped,
        unweighed=unweighed,
        prices=tuple(_price(model, book) for model in models),
        simulated=False,
    )


def bound_of(groups: Iterable[Group], book: PriceBook, *, single: bool = False) -> float | None:
    """The most that requests may really cost; None where nobody knows. single: asked one by one."""
    total = 0.0
    for group in groups:
        prices = _prices(book.real(group.model), single=single)
        if prices is None or group.unknown or group.uncapped:
            return None
        total += prices.most(group.bound, group.output, group.longest)
    return total


def _input_usd(groups: Iterable[Group], book: PriceBook) -> float | None:
    total = 0.0
    for group in groups:
        prices = _prices(book.real(group.model))
        if prices is None or group.unknown:
            return None
        # requests of a group are of about the same size: each is priced as their mean
        total += group.requests * prices.cost((group.tokens + group.images) / group.requests, 0)
    return total


def _prices(rates: Rates | None, *, single: bool = False) -> Prices | None:
    if rates is None:
        return None
    return rates.single if single else rates.batch


def _price(model: str, book: PriceBook) -> ModelPrice:
    rates = book.real(model)
    if rates is None:
        return ModelPrice(model)
    first = {
        kind: steps[0][1] if steps else 0.0
        for kind, steps in (("input", rates.batch.input), ("output", rates.batch.output))
    }
    tiers = len(rates.batch.input) > 1 or len(rates.batch.output) > 1
    return ModelPrice(
        model, rates.source, book.day, rates.known_as, **first, batch_known=rates.batch_known, tiers=tiers
    )
