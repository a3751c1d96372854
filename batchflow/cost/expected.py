"""What requests may be expected to cost, judged by answers that are there: means and ratios of rows that stand for the
rest, with intervals (ratio estimators over clusters, as in Cochran, Sampling Techniques, chapters 6 and 9A).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import NormalDist
from typing import Final, Self, TypeAlias

from batchflow.cost.tally import Group

LEVEL: Final = 0.95
FEWEST: Final = 5  # rows, and answers of a condition that a model gave: by fewer nothing is judged
_FREE: Final = "error"  # the outcome that costs nothing, and so tells nothing of what others cost

Key: TypeAlias = tuple[int, str]  # condition (0: any) and model


@dataclass(frozen=True, slots=True)
class Observed:
    """A request that has its outcome. row: what answers have in common that depend on each other; weighed: the input
    tokens that were counted before; prompt, completion, input_usd, output_usd: what it took, by its usage and
    today's prices; None where nobody knows.
    """

    row: int
    condition: int
    model: str
    weighed: int
    outcome: str
    prompt: int | None
    completion: int | None
    input_usd: float | None
    output_usd: float | None


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and from where to where it may be, by LEVEL."""

    estimate: float
    low: float
    high: float

    def within(self, most: float | None) -> Self:
        """Cut at what is known to be the most; None: nothing is."""
        if most is None:
            return self
        return type(self)(min(self.estimate, most), min(self.low, most), min(self.high, most))


NOTHING: Final = Interval(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Expected:
    """What requests are expected to come to, judged by the answers to some rows. Tokens; US dollars, None where a price
    is not known. outcomes: how many end so, of those that are not `answered`. level: how often the intervals hold
    what comes, if the rows are like those to come. pooled: conditions have too few answers, so models were taken whole.
    """

    rows: int
    answers: int
    level: float
    pooled: bool
    input_tokens: Interval
    output_tokens: Interval
    usd: Interval | None
    outcomes: Mapping[str, Interval]


def expect(
    groups: Sequence[Group], seen: Iterable[Observed], named: Iterable[str] = (), *, pooled: bool | None = None
) -> Expected | None:
    """What the requests of some groups may come to; None where too little was seen of them. named: outcomes that are
    looked at whether they were seen or not. pooled: whether models are taken whole; None: where they must be.
    """
    every = list(seen)
    told = [each for each in every if each.prompt is not None]
    if len(told) < len(every):  # some answers tell no usage, all errors do: they would weigh too much
        told = [each for each in told if each.outcome != _FREE]
    for together in (False, True) if pooled is None else (pooled,):
        judged, ends = _judged(groups, told, pooled=together), _judged(groups, every, pooled=together)
        if judged is not None and ends is not None:
            return judged.expected(ends.counts(named))
    return None


@dataclass(frozen=True, slots=True)
class _Stratum:
    """Requests to come that are alike. weighed: their tokens, and one more of each, so that none weighs nothing."""

    requests: int
    weighed: int


def _judged(groups: Sequence[Group], told: Sequence[Observed], *, pooled: bool) -> "_Judged | None":
    """The requests to come beside those that were seen, by condition and model, or by model alone; None where of some
    too few were seen.
    """
    come: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for group in groups:
        sums = come[0 if pooled else group.condition, group.model]
        sums[0] += group.requests
        sums[1] += group.tokens + group.images + group.requests
    seen: dict[Key, list[Observed]] = {key: [] for key in come}
    for each in told:
        key = (0 if pooled else each.condition, each.model)
        if key in seen:
            seen[key].append(each)
    paid = {key: [each.row for each in stratum if each.outcome != _FREE] for key, stratum in seen.items()}
    if not come or len({*chain(*paid.values())}) < FEWEST or any(len(rows) < FEWEST for rows in paid.values()):
        return None
    rows = {each.row for stratum in seen.values() for each in stratum}
    return _Judged({key: _Stratum(*sums) for key, sums in come.items()}, seen, len(rows), pooled=pooled)


@dataclass(frozen=True, slots=True)
class _Total:
    """A sum to come, and by how much each row seen has moved it."""

    estimate: float
    moved: Mapping[int, float]


class _Judged:
    """Sums over requests to come, from those seen in the same strata."""

    def __init__(
        self, strata: Mapping[Key, _Stratum], seen: Mapping[Key, Sequence[Observed]], rows: int, *, pooled: bool
    ) -> None:
        self._strata, self._seen, self._rows, self._pooled = strata, seen, rows, pooled
        self._answers = sum(map(len, seen.values()))
        self._requests = sum(stratum.requests for stratum in strata.values())
        self._more = self._requests / self._answers  # how many times what was seen is to come

    def expected(self, outcomes: Mapping[str, Interval]) -> Expected:
        every = [each for stratum in self._seen.values() for each in stratum]
        paid = [
            self.total(lambda each: each.input_usd or 0.0, by_weight=True),
            self.total(lambda each: each.output_usd or 0.0),
        ]
        return Expected(
            rows=self._rows,
            answers=self._answers,
            level=LEVEL,
            pooled=self._pooled,
            input_tokens=self.interval(self.total(lambda each: each.prompt or 0, by_weight=True)),
            output_tokens=self.interval(self.total(lambda each: each.completion or 0)),
            usd=self.interval(*paid) if all(each.input_usd is not None for each in every) else None,
            outcomes=outcomes,
        )

    def counts(self, named: Iterable[str]) -> Mapping[str, Interval]:
        """How many requests will end otherwise than answered, by outcome."""
        found = {each.outcome for stratum in self._seen.values() for each in stratum}
        return {kind: self.count(kind) for kind in sorted({*named, *found} - {"answered"})}

    def total(self, value: Callable[[Observed], float], *, by_weight: bool = False) -> _Total:
        """by_weight: in proportion to what was weighed before, else to the number of requests."""
        estimate, moved = 0.0, defaultdict[int, float](float)
        for key, stratum in self._strata.items():
            seen = self._seen[key]
            base = [each.weighed + 1 if by_weight else 1 for each in seen]
            size = stratum.weighed if by_weight else stratum.requests
            rate, scale = sum(map(value, seen)) / sum(base), size / sum(base)
            estimate += rate * size
            for each, share in zip(seen, base, strict=True):
                moved[each.row] += (value(each) - rate * share) * scale
        return _Total(estimate, moved)

    def interval(self, *parts: _Total) -> Interval:
        """Of the sum of some totals. What was seen is chance, and what comes is chance too."""
        estimate = sum(part.estimate for part in parts)
        rows = {row for part in parts for row in part.moved}
        squares = sum(sum(part.moved.get(row, 0.0) for part in parts) ** 2 for row in rows)
        variance = squares * self._rows / (self._rows - 1) * (1 + 1 / self._more)
        half = _student(self._rows - 1) * math.sqrt(variance)
        return Interval(estimate, max(0.0, estimate - half), estimate + half)

    def count(self, outcome: str) -> Interval:
        """How many requests will end so: Wilson's interval, of as many answers as rows that depend on each other leave,
        for a number that is chance itself. Whole requests.
        """
        total = self.total(lambda each: each.outcome == outcome)
        share = min(1.0, total.estimate / self._requests)
        among = self._answers / self._design_effect(total, share) / (1 + 1 / self._more)
        z = NormalDist().inv_cdf((1 + LEVEL) / 2)
        middle = (share + z * z / (2 * among)) / (1 + z * z / among)
        half = z * math.sqrt(share * (1 - share) / among + z * z / (4 * among * among)) / (1 + z * z / among)
        low, high = max(0.0, middle - half), min(1.0, middle + half)
        return Interval(
            round(total.estimate), math.floor(low * self._requests + 1e-9), math.ceil(high * self._requests - 1e-9)
        )

    def _design_effect(self, total: _Total, share: float) -> float:
        """By how much answers of the same row tell less than as many of different rows."""
        most = self._answers / self._rows
        if not 0 < share < 1:
            return most
        squares = sum(each * each for each in total.moved.values()) / (self._more * self._more)
        found = squares * self._rows / (self._rows - 1) / (self._answers * share * (1 - share))
        return min(most, max(1.0, found))


def _student(degrees: int) -> float:
    """Student's t for LEVEL, two-sided, within 0.01 from 4 degrees of freedom (Abramowitz and Stegun, 26.7.5)."""
    z, d = NormalDist().inv_cdf((1 + LEVEL) / 2), degrees
    terms = (
        z,
        (z**3 + z) / (4 * d),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * d**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * d**3),
    )
    return sum(terms)
