"""The DAG of a run as a value: build, then upload → start → poll → collect for each shard, then load; the same for
every round, with the state of each node read off the journal's fold.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from batchflow.journal.state import Phase, RunState, ShardState
from batchflow.steps.base import StepName

NodeState = Literal["done", "running", "waiting", "failed"]

MAPPED: Final = (StepName.UPLOAD, StepName.START, StepName.POLL, StepName.COLLECT)
FIRST_ASKED: Final = 1
# how many of the mapped steps a phase has behind it
_BEHIND: Final = {
    Phase.UPLOAD: 0,
    Phase.START: 1,
    Phase.DOUBT: 1,
    Phase.POLL: 2,
    Phase.COLLECT: 3,
    Phase.COLLECTED: 4,
    Phase.REJECTED: 1,
}
# what the first step that is not done is doing; in the other phases it waits
_AT_WORK: Final[Mapping[Phase, NodeState]] = {
    Phase.DOUBT: "running",
    Phase.POLL: "running",
    Phase.COLLECT: "running",
    Phase.REJECTED: "failed",
}


class Node(NamedTuple):
    """One step of one shard (shard is empty for build and load); needs names the nodes before it."""

    step: StepName
    round: int
    shard: str
    needs: tuple[str, ...]
    state: NodeState

    @property
    def name(self) -> str:
        return f"{self.step}:{self.shard or f'r{self.round}'}"


def nodes(state: RunState) -> Iterator[Node]:
    """Every node of every round that was built, in an order in which they could run."""
    for round_ in sorted(state.rounds):
        if round_ < state.round and round_ < FIRST_ASKED:  # what was taken over is part of building
            continue
        asked = [each for each in state.rounds if FIRST_ASKED <= each < round_]
        before = (f"{StepName.LOAD}:r{max(asked)}",) if asked else ()
        yield Node(StepName.BUILD, round_, "", before, "done")
        for shard in state.shards(round_) if round_ >= FIRST_ASKED else ():
            yield from _mapped(shard)
        collected = tuple(f"{StepName.COLLECT}:{shard.name}" for shard in state.shards(round_) if round_)
        loaded = state.loaded is not None and all(s.phase is Phase.COLLECTED for s in state.shards(round_))
        yield Node(StepName.LOAD, round_, "", collected, "done" if loaded else "waiting")


def _mapped(shard: ShardState) -> Iterator[Node]:
    needs = f"{StepName.BUILD}:r{shard.round}"
    behind = _BEHIND[shard.phase]
    for position, step in enumerate(MAPPED):
        state: NodeState = "done" if position < behind else "waiting"
        if position == behind:
            state = _AT_WORK.get(shard.phase, state)
        node = Node(step, shard.round, shard.name, (needs,), state)
        yield node
        needs = node.name
