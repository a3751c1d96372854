"""What a run has come to, folded from its journal alone: the account, the state's name, the batches accepted."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from batchflow.journal.state import IN_FLIGHT, Phase, RunState
from batchflow.results.account import Account
from batchflow.results.outcome import Outcome


class State(StrEnum):
    """complete: every request has a final outcome. partial: the last round has ended and some are owed. cancelled: the
    user wants no more, nothing is at the provider, and some are owed.
    """

    COMPLETE = "complete"
    PARTIAL = "partial"
    CANCELLED = "cancelled"
    IN_PROGRESS = "in_progress"


def account_of(state: RunState) -> Account:
    """The account of the whole run: the last round's word on what is owed, every round's on what is final."""
    total = Account()
    left: Mapping[str, int] = {}
    for round_ in sorted(state.rounds):
        if round_ in state.retries:
            left = state.retries[round_]["left"]
        total.follow_with(_account_of_round(state, round_), left)
    return total


def _account_of_round(state: RunState, round_: int) -> Account:
    """What is asked again keeps its earlier outcome until there is another one, so it is not owed meanwhile."""
    here = Account()
    for shard in state.shards(round_):
        if shard.collected is not None:
            here.add(Account.from_json(shard.collected["account"]))
        elif waiting := shard.requests - shard.again:
            here.owed[Outcome.IN_FLIGHT if shard.phase in IN_FLIGHT else Outcome.UNSENT] += waiting
    return here


def owed_now(state: RunState) -> int:
    """Requests of the newest round that are owed: those that the next one would ask by itself."""
    return _account_of_round(state, state.round).owed.total() if state.rounds else 0


def state_of(state: RunState) -> State:
    open_ = any(shard.phase is not Phase.COLLECTED for shard in state.shards(state.round))
    if state.cancelled and not any(True for _ in state.in_flight()):
        return State.CANCELLED if open_ or account_of(state).owed.total() else State.COMPLETE
    if open_:
        return State.IN_PROGRESS
    return State.PARTIAL if account_of(state).owed.total() else State.COMPLETE


def batches_accepted(state: RunState) -> int:
    """Batches that the provider took: those that did nothing (a full queue, a refused file) are not counted."""
    return sum(not batch.released for shard in state.shards() for batch in shard.batches)


def reused(state: RunState) -> int:
    """Requests whose answer was taken over, and has not been replaced since by one that was asked for again."""
    accounts: Iterator[Mapping[str, Any]] = (shard.collected["account"] for shard in state.shards() if shard.collected)
    replaced = sum(int(account.get("retaken", 0)) for account in accounts)
    return sum(shard.requests for shard in state.shards() if not shard.round) - replaced


def may_continue(state: RunState, max_rounds: int) -> bool:
    """Whether a plain `run` has anything left to do at the provider."""
    match state_of(state):
        case State.COMPLETE:
            return False
        case State.PARTIAL:
            return state.counted < max_rounds and owed_now(state) > 0
        case State.CANCELLED:  # once the user agrees
            return any(shard.collected is None for shard in state.shards(state.round)) or (
                state.counted < max_rounds and owed_now(state) > 0
            )
        case State.IN_PROGRESS:
            return True
