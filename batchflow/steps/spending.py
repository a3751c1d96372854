"""What answers have cost, by the usage that they tell: counted when they come home, at the prices of that day. The
journal keeps both; so every row, the run, and tables that are made anew say the same.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batchflow.cost.book import PriceBook
from batchflow.cost.rates import Prices, Rates
from batchflow.journal.state import RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.shards import condition_of, readable, shard_name
from batchflow.results.outcome import Answer, Outcome

_COUNTED: Final = ("usd", "unpriced", "prompt_tokens", "completion_tokens")
MANY: Final = 200  # conditions; of more, only the tables tell what each has cost


def cost_of(answer: Answer, prices: Prices | None) -> float | None:
    """US dollars; nothing for an answer that another run has bought, None where usage or price is not told."""
    return 0.0 if answer.taken_from is not None else _worth(answer, prices)


def _worth(answer: Answer, prices: Prices | None) -> float | None:
    """The same, whoever has bought it."""
    if prices is None or answer.prompt_tokens is None:
        return None
    return prices.cost(
        answer.prompt_tokens,
        answer.completion_tokens or 0,
        cached=answer.cached_tokens or 0,
        written=answer.written_tokens or 0,
    )


def rates_of(folder: RunFolder, round_: int, shard: int, book: PriceBook) -> Rates | None:
    """The prices of a request file, which asks one model."""
    if book.simulated:
        return book.rates("")
    return book.rates(model_of(folder, round_, shard))


def model_of(folder: RunFolder, round_: int, shard: int) -> str:
    """The model that a request file asks."""
    path = folder.shard(shard_name(round_, shard))
    with readable(path), path.open("rb") as handle:
        return str(json.loads(handle.readline())["body"].get("model", ""))


def worth_of(answers: Iterable[Answer], rates: Rates | None) -> float | None:
    """US dollars that answers would cost if they were bought now, of those that tell their usage; None where no price
    is known.
    """
    worth = sum(_worth(answer, None if rates is None else rates.batch) or 0.0 for answer in answers)
    return None if rates is None else worth


def paid_for(shard: ShardState) -> float | None:
    """US dollars that the answers of a shard have cost; those taken over, what they would have cost that day. None
    where nobody knows, as of versions that did not count.
    """
    if shard.collected is None:
        return 0.0
    worth: float | None = shard.collected.get("worth_usd")
    if not shard.round:
        return worth
    bill = Bill()
    bill.add_kept(_kept(shard) or {**bill.to_json(), "unpriced": 1})
    return bill.cost_usd


@dataclass(slots=True)
class Bill:
    """What some answers have cost. usd: of those that could be priced; unpriced: how many others a model has answered;
    tokens by their own usage.
    """

    usd: float = 0.0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def cost_usd(self) -> float | None:
        """US dollars; None where nothing could be priced that should be."""
        return None if self.unpriced and not self.usd else self.usd

    def add_answer(self, answer: Answer, prices: Prices | None) -> None:
        cost = cost_of(answer, prices)
        self.usd += cost or 0.0
        self.unpriced += cost is None and not answer.owed and answer.outcome is not Outcome.ERROR
        self.prompt_tokens += answer.prompt_tokens or 0
        self.completion_tokens += answer.completion_tokens or 0

    def add_kept(self, kept: Mapping[str, Any]) -> None:
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + kept[name])

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _COUNTED}


def price_answers(answers: Iterable[Answer], rates: Rates | None, *, apart: bool = False) -> dict[str, Any]:
    """What the answers of a request file have cost, as the journal keeps it, with the prices and their source. apart:
    also by the number of their condition.
    """
    prices = None if rates is None else rates.batch
    whole, conditions = Bill(), defaultdict[int, Bill](Bill)
    for answer in answers:
        whole.add_answer(answer, prices)
        if apart:
            conditions[condition_of(answer.custom_id)].add_answer(answer, prices)
    kept = {
        **whole.to_json(),
        "prices": None if prices is None else prices.to_json(),
        "source": "" if rates is None else rates.source,
    }
    return kept | ({"conditions": {str(n): each.to_json() for n, each in sorted(conditions.items())}} if apart else {})


def prices_kept(shard: ShardState) -> Prices | None:
    """The prices at which a shard's answers were counted; None where they were not."""
    kept = _kept(shard).get("prices")
    return None if kept is None else Prices.from_json(kept)


def _kept(shard: ShardState) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (shard.collected or {}).get("cost", {})
    return found


@dataclass(slots=True)
class Spent(Bill):
    """What a run has cost so far. billed_prompt, billed_completion: tokens by the count of those batches that
    told one (their answers': told_prompt, told_completion). conditions: by number, where they were counted apart.
    """

    billed_prompt: int = 0
    billed_completion: int = 0
    told_prompt: int = 0
    told_completion: int = 0
    conditions: dict[int, Bill] = field(default_factory=lambda: defaultdict(Bill))

    @property
    def differs(self) -> bool:
        """Whether the provider counts other tokens for its batches than for the answers in them."""
        return (self.billed_prompt, self.billed_completion) != (self.told_prompt, self.told_completion)

    def add(self, shard: ShardState) -> None:
        """Take in what was collected of a shard."""
        kept = _kept(shard)
        if not kept:  # of a version that did not count
            final: Mapping[str, int] = (shard.collected or {})["account"]["final"]
            self.unpriced += sum(count for kind, count in final.items() if kind != Outcome.ERROR)
            return
        self.add_kept(kept)
        for number, each in kept.get("conditions", {}).items():
            self.conditions[int(number)].add_kept(each)
        tokens = {} if shard.batch is None else shard.batch.facts.get("tokens") or {}
        billed = (tokens.get("input_tokens") or 0, tokens.get("output_tokens") or 0)
        if any(billed):
            self.billed_prompt += billed[0]
            self.billed_completion += billed[1]
            self.told_prompt += kept["prompt_tokens"]
            self.told_completion += kept["completion_tokens"]


def spent(state: RunState) -> Spent:
    """What a run has cost so far; what was taken over from others has cost nothing."""
    total = Spent()
    for shard in state.shards():
        if shard.round and shard.collected is not None:
            total.add(shard)
    return total
