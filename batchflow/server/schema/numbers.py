"""Numbers within the bounds of a schema, as round as the bounds allow."""

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from batchflow.server.dice import Stream

_USUAL: Final = 100  # how wide a range is taken where a schema leaves a side open
_DECIMALS: Final = (2, 4, 8, 16)
_TRIES: Final = 40
_NAMED: Final[tuple[tuple[tuple[str, ...], tuple[int, int]], ...]] = (
    (("confidence", "probability", "likelihood", "share", "fraction"), (0, 1)),
    (("rating", "likert", "stars", "scale"), (1, 7)),
    (("score",), (0, 10)),
    (("age",), (18, 80)),
    (("year",), (1950, 2025)),
)


def candidates(schema: Mapping[str, Any], name: str, stream: Stream, *, whole: bool) -> Iterator[float]:
    """Numbers to try, the likeliest first; the caller checks them against the whole schema."""
    least, most = _range(schema, name)
    step = Fraction(repr(schema["multipleOf"])) if "multipleOf" in schema else None
    if whole:
        step = Fraction(1) if step is None else Fraction(step.numerator)  # the least whole multiple
    if step is not None:
        yield from _multiples(least, most, step, stream)
        return
    for decimals in _DECIMALS:
        yield from _multiples(least, most, Fraction(1, 10**decimals), stream, tries=3)
    yield from (_written((least + most) / 2), _written(least), _written(most))


def _range(schema: Mapping[str, Any], name: str) -> tuple[Fraction, Fraction]:
    lower = [Fraction(schema[bound]) for bound in ("minimum", "exclusiveMinimum") if bound in schema]
    upper = [Fraction(schema[bound]) for bound in ("maximum", "exclusiveMaximum") if bound in schema]
    if lower and upper:
        return max(lower), min(upper)
    wide = max(Fraction(_USUAL), Fraction(_USUAL) * Fraction(schema.get("multipleOf", 1)))
    if lower:
        return max(lower), max(lower) + wide
    if upper:
        return min(upper) - wide, min(upper)
    if "multipleOf" in schema:
        return Fraction(0), wide
    words = name.lower().replace("-", "_").split("_")
    usual = next((bounds for names, bounds in _NAMED if any(word in names for word in words)), (0, _USUAL))
    return Fraction(usual[0]), Fraction(usual[1])


def _multiples(
    least: Fraction, most: Fraction, step: Fraction, stream: Stream, *, tries: int = _TRIES
) -> Iterator[float]:
    first, last = math.ceil(least / step), math.floor(most / step)
    if first > last:
        return
    for _ in range(tries):
        yield _written(stream.between(first, last) * step)
    for place in (*range(first, min(last, first + 3) + 1), last):
        yield _written(place * step)


def _written(value: Fraction) -> float:
    if value.denominator == 1:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        return int(value)
