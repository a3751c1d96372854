"""The fold: each event moves its shard to the documented phase; contradictions are told."""

import pytest

from batchflow.journal.events import Event
from batchflow.journal.state import DESCRIBED, Phase, RunState, fold
from tests.unit.journal.histories import (
    batch,
    built,
    collected,
    event,
    header,
    intent,
    receipt,
    refused,
    rejected,
    released,
    uploaded,
    writer,
)

ONE = (1, 1)
BEGUN = [header(), built(1, 2)]
SENT = [*BEGUN, uploaded(ONE), intent(ONE)]
RUNNING = [*SENT, receipt(ONE), batch(ONE, status="validating", ended=False)]


def phase(events: list[Event]) -> Phase:
    return fold(events).shard(1, 1).phase


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (BEGUN, Phase.UPLOAD),
        ([*BEGUN, uploaded(ONE)], Phase.START),
        (SENT, Phase.DOUBT),
        ([*SENT, writer()], Phase.DOUBT),
        ([*SENT, refused(ONE)], Phase.START),
        ([*SENT, event("absent", ONE, intent="i-1")], Phase.START),
        ([*SENT, receipt(ONE)], Phase.POLL),
        (RUNNING, Phase.POLL),
        ([*RUNNING, batch(ONE, status="paused_by_provider", ended=False)], Phase.POLL),
        ([*RUNNING, batch(ONE)], Phase.COLLECT),
        ([*RUNNING, batch(ONE), collected(ONE)], Phase.COLLECTED),
        ([*RUNNING, batch(ONE, status="failed"), released(ONE)], Phase.START),
        ([*RUNNING, batch(ONE, status="failed"), released(ONE, cause="file_gone")], Phase.UPLOAD),
        ([*RUNNING, batch(ONE, status="failed"), rejected(ONE)], Phase.REJECTED),
        ([*BEGUN, rejected(ONE)], Phase.REJECTED),
        ([*BEGUN, rejected(ONE), writer()], Phase.UPLOAD),
        ([*RUNNING, batch(ONE, status="failed"), rejected(ONE), writer()], Phase.START),
    ],
)
def test_phases(events: list[Event], expected: Phase) -> None:
    assert phase(events) is expected


def test_every_phase_has_words() -> None:
    assert set(DESCRIBED) == set(Phase)


def test_a_shard_that_is_sent_again_keeps_all_its_batches() -> None:
    again = [intent(ONE, "i-2"), receipt(ONE, "i-2", "batch-2")]
    state = fold([*RUNNING, batch(ONE, status="failed"), released(ONE), *again])
    shard = state.shard(1, 1)
    assert shard.batch is not None
    assert shard.batch.batch_id == "batch-2"
    assert state.batch_ids() == {"batch-1", "batch-2"}
    assert (shard.count_released("token_limit"), shard.count_released("no_money")) == (1, 0)


def test_what_is_in_flight_and_what_was_sent() -> None:
    def flying(events: list[Event]) -> list[str]:
        return [shard.name for shard in fold(events).in_flight()]

    assert not fold(BEGUN).sent
    assert fold([*BEGUN, uploaded(ONE)]).sent
    assert flying([*BEGUN, uploaded(ONE)]) == []
    assert flying(SENT) == flying(RUNNING) == flying([*RUNNING, batch(ONE)]) == ["r1-00001"]
    assert flying([*RUNNING, batch(ONE), collected(ONE)]) == []


def test_rounds_stand_beside_one_another() -> None:
    state = fold([*RUNNING, batch(ONE), collected(ONE), built(2, 1), uploaded((2, 1))])
    assert state.round == 2
    assert [shard.name for shard in state.shards()] == ["r1-00001", "r1-00002", "r2-00001"]
    assert [shard.name for shard in state.shards(2)] == ["r2-00001"]
    assert RunState().round == 0


def test_the_last_load_and_the_last_moment_are_remembered() -> None:
    state = fold([header("x"), Event("loaded", {"database": "d", "rows": 3}, time="2026-01-01T00:00:00.000Z")])
    assert (state.run, state.updated) == ("x", "2026-01-01T00:00:00.000Z")
    assert state.loaded == {"database": "d", "rows": 3}


@pytest.mark.parametrize(
    "events",
    [
        [*SENT, intent(ONE, "i-2")],
        [*BEGUN, receipt(ONE)],
        [*SENT, receipt(ONE, "i-other")],
        [*SENT, receipt(ONE), receipt(ONE)],
        [*SENT, refused(ONE), event("absent", ONE, intent="i-1")],
        [*SENT, batch(ONE)],
        [*SENT, receipt(ONE), released(ONE, "batch-other")],
        [*BEGUN, uploaded((1, 3))],
        [*BEGUN, uploaded((2, 1))],
        [header(), uploaded(ONE)],
    ],
)
def test_events_that_contradict_one_another_are_told(events: list[Event]) -> None:
    with pytest.raises(ValueError, match=r"r[12]-0000[13]"):
        fold(events)
