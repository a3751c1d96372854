"""What the batches of a run that were open when it was cancelled have come to, by the usage in their answers. What the
others would have cost is nobody's to say.
"""

from dataclasses import dataclass

from batchflow.journal.state import RunState
from batchflow.plan.folder import RunFolder
from batchflow.results.outcome import Outcome
from batchflow.steps.collect import read_shard
from batchflow.steps.spending import Spent


@dataclass(frozen=True, slots=True)
class Bill:
    """batches: that were open when the run was cancelled, and have ended; requests: those in them; answered: of these,
    what a model had its word on, and is billed; tokens as the answers tell them. cost_usd: US dollars by them, None
    where none could be priced; unpriced: answers that are not in it, without usage or a known price.
    """

    batches: int = 0
    requests: int = 0
    answered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    unpriced: int = 0


def bill_of_cancelled(folder: RunFolder, state: RunState) -> Bill:
    """The bill of the newest round's cancelled batches, read from the answers on disk."""
    batches = requests = answered = prompt = completion = 0
    money = Spent()
    for shard in state.shards(state.round):
        if not shard.ended_by_cancel or shard.collected is None:
            continue
        batches, requests = batches + 1, requests + shard.lines
        money.add(shard)
        names = [file["name"] for file in shard.collected["files"]]
        for answer in read_shard(folder, shard.round, shard.number, names):
            answered += not answer.owed and answer.outcome is not Outcome.ERROR
            prompt += answer.prompt_tokens or 0
            completion += answer.completion_tokens or 0
    return Bill(batches, requests, answered, prompt, completion, money.cost_usd, money.unpriced)
