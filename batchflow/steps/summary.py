"""What a run has come to, folded from its journal alone: the account, the state's name, the batches accepted."""

from enum import StrEnum

from batchflow.journal.state import IN_FLIGHT, Phase, RunState
from batchflow.results.account import Account
from batchflow.results.outcome import Outcome


class State(StrEnum):
    """complete: every request has a final outcome. partial: the last round has ended and some are owed."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    IN_PROGRESS = "in_progress"


def account_of(state: RunState) -> Account:
    """The account of the whole run: the last round's word on what is owed, every round's on what is final."""
    total = Account()
    for round_ in sorted(state.rounds):
        here = Account()
        for shard in state.shards(round_):
            if shard.collected is not None:
                here.add(Account.from_json(shard.collected["account"]))
            else:
                flying = shard.phase in IN_FLIGHT
                here.owed[Outcome.IN_FLIGHT if flying else Outcome.UNSENT] += shard.requests
        total.follow_with(here)
    return total


def state_of(state: RunState) -> State:
    if any(shard.phase is not Phase.COLLECTED for shard in state.shards(state.round)):
        return State.IN_PROGRESS
    return State.PARTIAL if account_of(state).owed.total() else State.COMPLETE


def batches_accepted(state: RunState) -> int:
    """Batches that the provider took: those that did nothing (a full queue, a refused file) are not counted."""
    return sum(not batch.released for shard in state.shards() for batch in shard.batches)


def may_continue(state: RunState, max_rounds: int) -> bool:
    """Whether a plain `run` has anything left to do at the provider."""
    match state_of(state):
        case State.COMPLETE:
            return False
        case State.PARTIAL:
            return state.round < max_rounds
        case State.IN_PROGRESS:
            return True
