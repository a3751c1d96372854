"""What is about to be bought, priced: a plan's first round, what waits to be sent, what is asked again on purpose."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from batchflow import clock
from batchflow.cost.book import PriceBook
from batchflow.cost.expected import Observed
from batchflow.cost.forecast import CostForecast, forecast
from batchflow.cost.tally import Group
from batchflow.journal.state import Phase, RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan
from batchflow.plan.target import Target
from batchflow.results.outcome import Outcome
from batchflow.spec.model import Experiment
from batchflow.steps.observing import observed
from batchflow.steps.rounds import Again, owed_lines
from batchflow.steps.spending import MANY
from batchflow.steps.weigh import Weights, weigh_file

UNSENT: Final = frozenset({Phase.UPLOAD, Phase.START, Phase.DOUBT, Phase.REJECTED})


def price_book(experiment: Experiment, target: Target, *, moment: str = "") -> PriceBook:
    """The prices of whoever is asked, as of a moment, like a plan's `created_at`, or as of now."""
    given = {model: prices.by_kind() for model, prices in experiment.prices.items()}
    return PriceBook(
        given,
        provider=target.name,
        base_url=target.base_url,
        simulated=target.simulated,
        moment=clock.parsed(moment) if moment else clock.now(),
    )


class FirstRound:
    """What a plan asks, whether it is sent yet or not, judged by what was taken over, which is not asked."""

    def __init__(self, folder: RunFolder, plan: Plan, state: RunState, book: PriceBook) -> None:
        shards = list(state.shards(1))
        self._groups, self._book, self._looked_at = _of_shards(folder, plan, shards), book, _looked_at(plan)
        self._seen = observed(folder, plan, state, book, taken=True) if shards else []
        self.whole = self._forecast(self._groups, self._seen)

    def of_conditions(self) -> dict[int, CostForecast]:
        """The same by condition, of those that are asked, judged as the whole is, so that they add up to it; of very
        many conditions only the bounds.
        """
        groups = defaultdict[int, list[Group]](list)
        for group in self._groups:
            groups[group.condition].append(group)
        seen = self._seen if len(groups) <= MANY else []
        pooled = None if self.whole.expected is None else self.whole.expected.pooled
        return {condition: self._forecast(each, seen, pooled=pooled) for condition, each in sorted(groups.items())}

    def _forecast(
        self, groups: Sequence[Group], seen: Sequence[Observed], *, pooled: bool | None = None
    ) -> CostForecast:
        return forecast(groups, _files(groups), self._book, seen, self._looked_at, pooled=pooled)


def of_next(folder: RunFolder, plan: Plan, state: RunState, book: PriceBook, groups: Sequence[Group]) -> CostForecast:
    """What requests cost that are asked next, judged by every answer that the run has."""
    seen = observed(folder, plan, state, book) if groups else []
    return forecast(groups, _files(groups), book, seen, _looked_at(plan))


def _files(groups: Sequence[Group]) -> int:
    return len({group.shard for group in groups})


def _looked_at(plan: Plan) -> tuple[str, ...]:
    """The outcomes that a person asks about even if there is none yet."""
    return (Outcome.REFUSED, Outcome.INVALID) if plan.answer else (Outcome.REFUSED,)


def unsent(state: RunState) -> list[ShardState]:
    """The request files of the newest round that are not at the provider, as far as we know."""
    return [shard for shard in state.shards(state.round) if shard.phase in UNSENT]


def sent_next(folder: RunFolder, plan: Plan, state: RunState) -> list[Group]:
    """The weights of what `run` sends next: the files that wait, else what the newest round has left owed."""
    waiting = unsent(state)
    if waiting:
        return _of_shards(folder, plan, waiting)
    owed: list[Group] = []
    for shard, reading in owed_lines(folder, state):
        owed += weigh_file(folder, plan, shard.round, shard.number, reading.owed)
    return owed


def sent_again(folder: RunFolder, plan: Plan, again: Again) -> list[Group]:
    """The weights of what `retry` is about to send."""
    places = list(again.attempts.places())
    return [group for place in places for group in weigh_file(folder, plan, *place, again.attempts.of(place))]


def _of_shards(folder: RunFolder, plan: Plan, shards: list[ShardState]) -> list[Group]:
    weights = Weights(folder, plan)
    return [group for shard in shards for group in weights.of(shard)]
