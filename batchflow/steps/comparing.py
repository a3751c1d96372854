"""A plan beside the run before it, with money: what of it is asked, and what was paid for what it no longer asks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from batchflow.cost.forecast import CostForecast
from batchflow.journal.state import RunState
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan
from batchflow.sources.maps import Change
from batchflow.steps.spending import model_of, paid_for

KINDS: Final = ("same", "changed", "added", "gone")
_MODEL: Final = "model"


@dataclass(frozen=True, slots=True)
class Beside:
    """Requests of one kind. asked: how many of them this run asks. usd: what these cost, as a share of the forecast of
    their condition: what is expected (then expected is true), else the most. paid_usd: what the earlier answers to them
    are worth, at the mean of its requests of the same model. US dollars; None where it is not known.
    """

    requests: int
    asked: int
    usd: float | None
    expected: bool
    paid_usd: float


def beside(
    changes: Iterable[Change], costs: Mapping[int, CostForecast], paid: Mapping[int, float]
) -> dict[str, Beside]:
    """By kind. costs: of the conditions here; paid: for a request of a condition there."""
    listed = list(changes)
    sizes: Counter[int | None] = Counter()
    for change in listed:
        sizes[change.here] += change.requests if change.asked else 0
    likely = {here: cost.expected is not None and cost.expected.usd is not None for here, cost in costs.items()}
    for_one = {here: _likely(cost) for here, cost in costs.items()}
    found = {}
    for kind in KINDS:
        of_kind = [change for change in listed if change.kind == kind]
        asked = [each for each in of_kind if each.asked and each.here is not None]
        shares = [(for_one[each.here or 0], each.requests / sizes[each.here]) for each in asked]
        found[kind] = Beside(
            requests=sum(each.requests for each in of_kind),
            asked=sum(each.requests for each in asked),
            usd=None if any(usd is None for usd, _ in shares) else sum((usd or 0.0) * share for usd, share in shares),
            expected=bool(asked) and all(likely[each.here or 0] for each in asked),
            paid_usd=sum(each.requests * paid.get(each.there or 0, 0.0) for each in of_kind if each.there is not None),
        )
    return found


def _likely(cost: CostForecast) -> float | None:
    expected = cost.expected
    return cost.bound_usd if expected is None or expected.usd is None else expected.usd.estimate


def paid_for_one(folder: RunFolder, plan: Plan, state: RunState) -> dict[int, float]:
    """What a request of each condition of a run has cost, at the mean of those of its model; what was taken over counts
    as what it would have cost on the day that it was.
    """
    dollars, requests = defaultdict[str, float](float), Counter[str]()
    for shard in state.shards():
        model = ""
        with suppress(OSError, ValueError, LookupError, TypeError):  # a request file that was changed or taken away
            model = model_of(folder, shard.round, shard.number)
        dollars[model] += paid_for(shard)
        requests[model] += shard.requests if shard.round <= 1 else 0
    mean = {model: dollars[model] / count for model, count in requests.items() if count}
    factors = list(plan.factors)
    if _MODEL not in factors:
        numbers = [condition.number for condition in plan.conditions] or [1]
        return dict.fromkeys(numbers, sum(dollars.values()) / requests.total() if requests else 0.0)
    place = factors.index(_MODEL)
    return {condition.number: mean.get(str(condition.cells[place]), 0.0) for condition in plan.conditions}
