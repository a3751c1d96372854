"""What answers have cost, by the usage that they tell: counted when they come home, at the prices of that day. The
journal keeps both; so every row, the run, and tables that are made anew say the same.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batchflow.cost.book import PriceBook
from batchflow.cost.rates import Prices, Rates
from batchflow.journal.state import RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.shards import shard_name
from batchflow.results.outcome import Answer, Outcome


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
    with folder.shard(shard_name(round_, shard)).open("rb") as handle:
        return str(json.loads(handle.readline())["body"].get("model", ""))


def worth_of(answers: Iterable[Answer], rates: Rates | None) -> float:
    """US dollars that answers would cost if they were bought now, of those that can be priced."""
    prices = None if rates is None else rates.batch
    return sum(_worth(answer, prices) or 0.0 for answer in answers)


def paid(shard: ShardState) -> float:
    """US dollars that the answers of a shard have cost; those taken over, what they would have cost that day."""
    kept: float = _kept(shard).get("usd", 0.0) if shard.round else (shard.collected or {}).get("worth_usd", 0.0)
    return kept


def price_answers(answers: Iterable[Answer], rates: Rates | None) -> dict[str, Any]:
    """What the answers of a request file have cost, as the journal keeps it. usd: of those that could be priced;
    unpriced: how many others a model had its word on; tokens by their own usage; prices, with their source.
    """
    prices = None if rates is None else rates.batch
    usd, unpriced, prompt, completion = 0.0, 0, 0, 0
    for answer in answers:
        prompt += answer.prompt_tokens or 0
        completion += answer.completion_tokens or 0
        paid = cost_of(answer, prices)
        usd += paid or 0.0
        unpriced += paid is None and not answer.owed and answer.outcome is not Outcome.ERROR
    return {
        "usd": usd,
        "unpriced": unpriced,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prices": None if prices is None else prices.to_json(),
        "source": "" if rates is None else rates.source,
    }


def prices_kept(shard: ShardState) -> Prices | None:
    """The prices at which a shard's answers were counted; None where they were not."""
    kept = _kept(shard).get("prices")
    return None if kept is None else Prices.from_json(kept)


def _kept(shard: ShardState) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (shard.collected or {}).get("cost", {})
    return found


@dataclass(slots=True)
class Spent:
    """What a run has cost so far. usd: by the usage of its answers; unpriced: answers without usage or price.
    Tokens: of the answers; billed_prompt, billed_completion: by the batches' own count, of those that told one
    (their answers': told_prompt, told_completion).
    """

    usd: float = 0.0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    billed_prompt: int = 0
    billed_completion: int = 0
    told_prompt: int = 0
    told_completion: int = 0

    @property
    def cost_usd(self) -> float | None:
        """US dollars; None where nothing could be priced that should be."""
        return None if self.unpriced and not self.usd else self.usd

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
        self.usd += kept["usd"]
        self.unpriced += kept["unpriced"]
        self.prompt_tokens += kept["prompt_tokens"]
        self.completion_tokens += kept["completion_tokens"]
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
