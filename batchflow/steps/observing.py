"""The answers that a run's folder holds, as what comes may be judged by them. Of very many, those to some rows."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from batchflow.cost.book import PriceBook
from batchflow.cost.expected import Observed
from batchflow.cost.rates import Prices
from batchflow.errors import SetupError
from batchflow.journal.state import RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan
from batchflow.plan.shards import condition_of, row_of
from batchflow.results.outcome import Answer, Outcome
from batchflow.steps.collect import read_shard
from batchflow.steps.take import TAKEN_ROUND
from batchflow.steps.weigh import weigh_rows

ENOUGH: Final = 5_000  # requests
_KNUTH: Final = 2_654_435_761  # spreads row numbers evenly, so that no order of the table shows in those chosen


def _every(step: int) -> Callable[[int], bool]:
    """Whether a row is one of every so many: the same ones each time, and none by its place in the table."""
    return lambda row: row * _KNUTH % 2**32 % step == 0


def observed(folder: RunFolder, plan: Plan, state: RunState, book: PriceBook, *, taken: bool = False) -> list[Observed]:
    """What was answered, priced as of today for real money, also where the local provider has answered.

    taken: only what was taken over from other runs.
    """
    shards = [shard for shard in state.shards() if shard.collected is not None]
    shards = [shard for shard in shards if shard.round == TAKEN_ROUND] if taken else shards
    chosen = _every(1 + sum(shard.requests for shard in shards) // ENOUGH)
    found: list[Observed] = []
    for shard in shards:
        with suppress(SetupError, OSError, ValueError, LookupError, TypeError):  # changed or taken away: no evidence
            found += list(_of_shard(folder, plan, shard, chosen, book))
    return found


def _of_shard(
    folder: RunFolder, plan: Plan, shard: ShardState, chosen: Callable[[int], bool], book: PriceBook
) -> Iterator[Observed]:
    weights = weigh_rows(folder, plan, shard.name, chosen)
    names = [file["name"] for file in (shard.collected or {})["files"]]
    prices: dict[str, Prices | None] = {}
    for answer in read_shard(folder, shard.round, shard.number, names, chosen=chosen):
        found = weights.get(answer.custom_id)
        if found is None or answer.owed:
            continue
        model, weight = found
        if model not in prices:
            rates = book.real(model)
            prices[model] = None if rates is None else rates.batch
        yield _observed(answer, model, weight.tokens + weight.images, prices[model])


def _observed(answer: Answer, model: str, weighed: int, prices: Prices | None) -> Observed:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens or 0
    if answer.outcome is Outcome.ERROR:  # costs nothing
        prompt = prompt or 0
    input_usd = output_usd = None
    if prices is not None and prompt is not None:
        cached, written = answer.cached_tokens or 0, answer.written_tokens or 0
        input_usd = prices.cost(prompt, 0, cached=cached, written=written)
        output_usd = prices.cost(prompt, completion, cached=cached, written=written) - input_usd
    return Observed(
        row=row_of(answer.custom_id),
        condition=condition_of(answer.custom_id),
        model=model,
        weighed=weighed,
        outcome=answer.outcome.value,
        prompt=prompt,
        completion=completion,
        input_usd=input_usd,
        output_usd=output_usd,
    )
