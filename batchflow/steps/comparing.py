"""A plan beside the run before it, with money: what of it is asked, and what was paid for what it no longer asks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from batchflow.cost.forecast import CostForecast
from batchflow.errors import SetupError
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
    paid_usd: float | None


def beside(
    changes: Iterable[Change], costs: Mapping[int, CostForecast], paid: Mapping[int, float | None]
) -> dict[str, Beside]:
    """By kind. costs: of the conditions here, but those that lines of others answer (`duplicates: share`); paid: for a
    request of a condition there.
    """
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
        lines = [each for each in asked if each.here in costs]
        shares = [(for_one[each.here or 0], each.requests / sizes[each.here]) for each in lines]
        bought = [(paid.get(each.there, 0.0), each.requests) for each in of_kind if each.there is not None]
        found[kind] = Beside(
            requests=sum(each.requests for each in of_kind),
            asked=sum(each.requests for each in asked),
            usd=None if any(usd is None for usd, _ in shares) else sum((usd or 0.0) * share for usd, share in shares),
            expected=bool(asked) and all(likely[each.here or 0] for each in lines),
            paid_usd=None if any(usd is None for usd, _ in bought) else sum((usd or 0.0) * n for usd, n in bought),
        )
    return found


def _likely(cost: CostForecast) -> float | None:
    expected = cost.expected
    return cost.bound_usd if expected is None or expected.usd is None else expected.usd.estimate


def paid_for_one(folder: RunFolder, plan: Plan, state: RunState) -> dict[int, float | None]:
    """What a request of each condition of a run has cost, at the mean of those of its model; what was taken over counts
    as what it would have cost on the day that it was. None where nobody knows: answers without usage or price; models
    that differ, and a request file that no longer tells its own.
    """
    numbers = [condition.number for condition in plan.conditions] or [1]
    differ = _MODEL in plan.factors
    dollars, requests, unknown = defaultdict[str, float](float), Counter[str](), set[str]()
    for shard in state.shards():
        try:
            model = model_of(folder, shard.round, shard.number) if differ else plan.model
        except (SetupError, OSError):  # an old run's files may be gone: nothing here depends on it
            return dict.fromkeys(numbers, None)
        paid = paid_for(shard)
        unknown |= {model} if paid is None else set()
        dollars[model] += paid or 0.0
        requests[model] += shard.requests if shard.round <= 1 else 0
    mean: dict[str, float | None] = {model: dollars[model] / count for model, count in requests.items() if count}
    mean |= dict.fromkeys(unknown, None)
    if not differ:
        return dict.fromkeys(numbers, mean.get(plan.model, 0.0))
    place = list(plan.factors).index(_MODEL)
    return {condition.number: mean.get(str(condition.cells[place]), 0.0) for condition in plan.conditions}
