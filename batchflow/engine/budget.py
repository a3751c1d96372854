"""The budget of a run: whether what is about to be sent could take it beyond what the spec allows."""

from collections.abc import Sequence

from batchflow.cost.book import PriceBook
from batchflow.cost.dollars import usd
from batchflow.cost.forecast import bound_of
from batchflow.cost.tally import Group
from batchflow.errors import OverBudget
from batchflow.journal.state import IN_FLIGHT, RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan
from batchflow.spec.money import BudgetSpec
from batchflow.steps.spending import Spent
from batchflow.steps.weigh import Weights


class Budget:
    """What a run may cost, held against what it has cost, what lies at the provider, and what would come next."""

    def __init__(self, spec: BudgetSpec, book: PriceBook, folder: RunFolder, plan: Plan) -> None:
        self._spec, self._book = spec, book
        self._weights = Weights(folder, plan)
        self._bounds: dict[str, float | None] = {}

    def check(self, state: RunState, groups: Sequence[Group]) -> None:
        """Raises OverBudget where requests could take the run beyond its budget, or nobody knows whether."""
        if (error := self._refusal(state, groups, self._bound(groups))) is not None:
            raise error

    def refusal(self, state: RunState, shard: ShardState) -> OverBudget | None:
        """Why a request file may not be sent now; None where it may."""
        return self._refusal(state, self._weights.of(shard), self._most(shard))

    def _refusal(self, state: RunState, groups: Sequence[Group], bound: float | None) -> OverBudget | None:
        most, committed = self._spec.max_usd, self._committed(state)
        if bound is not None and committed + bound <= most:
            return None
        if bound is None:
            return OverBudget(
                f"what is to be sent has no known bound ({self._why(groups)}), and budget.max_usd is {most:g}",
                hint="cap the answers (max_completion_tokens, max_output_tokens), say the price under `prices`, or "
                "what a request may be taken to cost: budget.assume_usd_per_request",
            )
        before = f", beside {usd(committed)} for what was sent before" if committed else ""
        return OverBudget(
            f"what is to be sent could cost up to {usd(bound, up=True)}{before}: more than budget.max_usd, {most:g}",
            hint="raise budget.max_usd, cap the answers lower, or ask fewer rows; answers rarely take all they may",
        )

    def _why(self, groups: Sequence[Group]) -> str:
        unpriced = sorted({group.model for group in groups if self._book.rates(group.model) is None})
        causes = [f"no price of {', '.join(unpriced)} is known"] if unpriced else []
        causes += ["nothing caps the answers"] if any(group.uncapped for group in groups) else []
        causes += ["images, files or tools cannot be weighed"] if any(group.unknown for group in groups) else []
        return ", ".join(causes)

    def _bound(self, groups: Sequence[Group]) -> float | None:
        total = 0.0
        for group in groups:
            most = bound_of([group], self._book)
            if most is None and self._spec.assume_usd_per_request is not None:
                most = self._spec.assume_usd_per_request * group.requests
            if most is None:
                return None
            total += most
        return total

    def _most(self, shard: ShardState) -> float | None:
        if shard.name not in self._bounds:
            self._bounds[shard.name] = self._bound(self._weights.of(shard))
        return self._bounds[shard.name]

    def _committed(self, state: RunState) -> float:
        """US dollars that were spent, or are at most about to be; what nobody has counted is taken at its bound."""
        total = 0.0
        for shard in state.shards():
            if not shard.round:  # taken over: paid for by another run
                continue
            if shard.collected is None:
                total += (self._most(shard) or 0.0) if shard.phase in IN_FLIGHT else 0.0
                continue
            paid = Spent()
            paid.add(shard)
            total += max(paid.usd, self._most(shard) or 0.0) if paid.unpriced else paid.usd
        return total
