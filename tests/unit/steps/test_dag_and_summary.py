"""The DAG and the account are read off the journal's fold."""

import pytest

from batchflow.journal.events import Event
from batchflow.journal.state import fold
from batchflow.steps.dag import nodes
from batchflow.steps.summary import State, account_of, batches_accepted, may_continue, state_of
from tests.unit.journal.histories import (
    Teller,
    batch,
    built,
    collected,
    event,
    header,
    intent,
    receipt,
    rejected,
    released,
    uploaded,
    writer,
)

ONE, TWO = (1, 1), (1, 2)


def done(place: tuple[int, int], owed: int = 0) -> list[Event]:
    name = f"{place[0]}-{place[1]}"
    return [
        uploaded(place), intent(place, f"i-{name}"), receipt(place, f"i-{name}", f"batch-{name}"),
        batch(place, f"batch-{name}"), collected(place, f"batch-{name}", owed),
    ]  # fmt: skip


LOADED = event("loaded", database="d", rows=10)


def shown(events: list[Event]) -> dict[str, str]:
    return {node.name: node.state for node in nodes(fold(events))}


def test_a_fresh_run_has_built_and_waits() -> None:
    assert shown([header(), built(1, 1)]) == {
        "build:r1": "done", "upload:r1-00001": "waiting", "start:r1-00001": "waiting", "poll:r1-00001": "waiting",
        "collect:r1-00001": "waiting", "load:r1": "waiting",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "states"),
    [
        (1, ["done", "waiting", "waiting", "waiting"]),
        (2, ["done", "running", "waiting", "waiting"]),
        (3, ["done", "done", "running", "waiting"]),
        (4, ["done", "done", "done", "running"]),
        (5, ["done", "done", "done", "done"]),
    ],
)
def test_each_event_moves_one_node_on(count: int, states: list[str]) -> None:
    found = shown([header(), built(1, 1), *done(ONE)[:count]])
    assert [found[f"{step}:r1-00001"] for step in ("upload", "start", "poll", "collect")] == states


def test_load_is_done_when_everything_collected_is_loaded() -> None:
    two = (1, 2)
    first = [header(), built(1, 2), *done(ONE), LOADED]
    assert shown(first)["load:r1"] == "waiting"
    assert shown([*first, *done(two)])["load:r1"] == "waiting"
    assert shown([*first, *done(two), LOADED])["load:r1"] == "done"


def test_a_rejected_shard_has_failed_to_start() -> None:
    found = shown([header(), built(1, 1), uploaded(ONE), rejected(ONE)])
    assert (found["upload:r1-00001"], found["start:r1-00001"]) == ("done", "failed")


def test_a_loaded_run_is_done() -> None:
    assert set(shown([header(), built(1, 1), *done(ONE), LOADED]).values()) == {"done"}
    assert shown([header(), built(1, 2), *done(ONE), LOADED])["load:r1"] == "waiting"


@pytest.mark.parametrize("seed", range(20))
def test_nodes_come_after_what_they_need_and_none_is_done_before_it(seed: int) -> None:
    found = list(nodes(fold(one for one, _ in Teller(seed).tell(60))))
    states: dict[str, str] = {}
    for node in found:
        assert all(need in states for need in node.needs)
        if node.step not in {"build", "load"} and node.state in {"done", "running"}:
            assert all(states[need] == "done" for need in node.needs)
        states[node.name] = node.state
    assert len(states) == len(found)


def test_a_round_asks_again_what_the_last_one_owed() -> None:
    events = [header(), built(1, 2), *done(ONE, owed=3), *done(TWO)]
    state = fold(events)
    assert account_of(state).owed == {"expired": 3}
    assert account_of(state).final == {"answered": 17}
    assert state_of(state) is State.PARTIAL
    assert may_continue(state, 3)
    assert not may_continue(state, 1)
    events.append(event("built", (2, 0), requests=3, shards=[{"shard": 1, "requests": 3, "bytes": 9, "sha256": "x"}]))
    state = fold(events)
    assert account_of(state).requests == 20
    assert account_of(state).owed == {"unsent": 3}
    assert state_of(state) is State.IN_PROGRESS
    assert may_continue(state, 1)


def test_the_account_of_any_moment_counts_every_request() -> None:
    assert account_of(fold([header(), built(1, 2)])).owed == {"unsent": 20}
    flying = [header(), built(1, 2), *done(ONE)[:2]]
    assert account_of(fold(flying)).owed == {"in_flight": 10, "unsent": 10}
    assert account_of(fold([*flying, *done(ONE)[2:4]])).owed == {"in_flight": 10, "unsent": 10}
    complete = fold([header(), built(1, 2), *done(ONE), *done(TWO)])
    assert (state_of(complete), account_of(complete).answered) == (State.COMPLETE, 20)
    assert not may_continue(complete, 99)


def test_a_batch_that_did_nothing_was_not_accepted() -> None:
    sent = [header(), built(1, 2), *done(ONE)[:3]]
    assert batches_accepted(fold(sent)) == 1
    assert batches_accepted(fold([*sent, released(ONE, "batch-1-1")])) == 0
    assert batches_accepted(fold([*sent, rejected(ONE), writer()])) == 0
    assert (
        batches_accepted(
            fold([*sent, released(ONE, "batch-1-1"), intent(ONE, "j"), receipt(ONE, "j", "b2"), *done(TWO)])
        )
        == 2
    )
