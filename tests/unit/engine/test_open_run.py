"""One process advances a run, whoever looks is not in its way; what lanes share stops and waits as documented."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchflow.engine.fetching import REFUSED_TRIES, CollectLane
from batchflow.engine.lanes import Settings, Shared, batch_event, event, for_a_human
from batchflow.engine.run import OpenRun, lock, view
from batchflow.errors import ProviderDoubt, ProviderRefused, RunBusy
from batchflow.files import PART
from batchflow.journal.events import Event
from batchflow.journal.journal import Journal
from batchflow.journal.state import Phase
from batchflow.plan.folder import RunFolder
from batchflow.providers.base import BatchError
from batchflow.steps.base import StepName
from tests.unit.journal.histories import batch as seen_batch
from tests.unit.journal.histories import built, intent, receipt, released, uploaded
from tests.unit.plan.plans import made_run
from tests.unit.steps.fakes import FakeProvider, batch

ONE = (1, 1)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = made_run(tmp_path)
    found.requests.mkdir()
    found.responses.mkdir()
    return found


@pytest.fixture
def run(folder: RunFolder) -> Iterator[OpenRun]:
    opened = OpenRun(folder, lock(folder))
    yield opened
    opened.close()


def test_what_is_recorded_is_true_here_and_for_every_reader(run: OpenRun) -> None:
    run.record([uploaded(ONE), intent(ONE)])
    assert run.state.shard(1, 1).phase is Phase.DOUBT
    seen = view(run.folder)
    assert seen.state == run.state
    assert seen.plan == run.plan


def test_a_run_is_advanced_by_one_process(run: OpenRun) -> None:
    with pytest.raises(RunBusy, match="another process is advancing"):
        lock(run.folder)
    run.close()
    lock(run.folder).release()
    run._lock = lock(run.folder)
    run._journal, _ = Journal.take_over(run.folder.journal)


def test_a_writer_without_the_lock_is_noticed_before_anything_else_happens(run: OpenRun) -> None:
    other, _ = Journal.take_over(run.folder.journal)
    before = run.state.shard(1, 1).phase
    for attempt in (run.check_writer, lambda: run.record([uploaded(ONE)])):
        with pytest.raises(RunBusy):
            attempt()
    assert run.state.shard(1, 1).phase is before
    other.close()


def test_opening_sweeps_half_files_and_nothing_else(folder: RunFolder) -> None:
    half, whole = folder.responses / f".r1-00001.output.jsonl.1{PART}", folder.responses / "r1-00001.output.jsonl"
    half.write_bytes(b"{")
    whole.write_bytes(b"{}\n")
    OpenRun(folder, lock(folder)).close()
    assert [path.name for path in folder.responses.iterdir()] == [whole.name]


def settings(**changes: float) -> Settings:
    values: dict[str, float] = {
        "interval": 60.0, "settle": 60.0, "batches_in_flight": 10, "max_rounds": 3, "requests_per_batch": 10,
        "bytes_per_batch": 1000,
    }  # fmt: skip
    return Settings(**values | changes)  # type: ignore[arg-type]


def shared(run: OpenRun, **changes: float) -> Shared:
    said: list[str] = []
    return Shared(run, FakeProvider(), settings(**changes), said.append)


def test_until_names_the_last_step() -> None:
    up_to = Settings(60, 60, 10, 3, 10, 1000, until=StepName.START)
    assert [step.value for step in StepName if up_to.reaches(step)] == ["build", "upload", "start"]
    assert all(settings().reaches(step) for step in StepName)


def test_the_gate_stays_closed_for_a_run_whose_shard_met_a_full_queue(run: OpenRun) -> None:
    assert not shared(run).gate.closed
    run.record([uploaded(ONE), intent(ONE), receipt(ONE), released(ONE)])
    assert shared(run).gate.closed


def test_batches_that_may_exist_count_as_open(run: OpenRun) -> None:
    assert shared(run).open_batches() == 0
    run.record([uploaded(ONE), intent(ONE)])
    assert shared(run).open_batches() == 1
    run.record([receipt(ONE)])
    assert shared(run).open_batches() == 1


def test_only_the_newest_round_is_worked_on(run: OpenRun) -> None:
    run.record([built(2, 3)])
    assert [shard.name for shard in shared(run).shards(Phase.UPLOAD)] == ["r2-00001", "r2-00002", "r2-00003"]


def test_trouble_waits_or_stops(run: OpenRun) -> None:
    found = shared(run, interval=30.0)
    found.trouble("poll", ProviderDoubt("cut", retry_after=100.0), 1000.0, "poll")
    assert 1050.0 <= found.backoff("poll").due < 1060
    assert list(found.next_due(iter(["poll", "never"]), 1000.0)) == [found.backoff("poll").due]
    assert found.stop is None
    found.trouble("poll", ProviderRefused("bad key", status=401), 1000.0, "poll")
    found.trouble("poll", ProviderRefused("later", status=403), 1000.0, "poll")
    assert found.stop is not None
    assert (found.stop.message, found.stop.exit_status) == ("bad key", 6)
    assert "check the key" in found.stop.hint


def test_an_account_without_money_is_for_a_human() -> None:
    told = for_a_human(ProviderRefused("dry", status=429, provider_code="insufficient_quota"))
    assert "money or quota" in told.hint


def test_events_of_a_batch_hold_what_the_journal_wants_and_no_more_errors_than_that(run: OpenRun) -> None:
    run.record([uploaded(ONE), intent(ONE), receipt(ONE)])
    shard = run.state.shard(1, 1)
    errors = tuple(BatchError("c", f"m{n}", n) for n in range(200))
    made = batch_event(shard, batch("batch-1", 5.0, status="failed", errors=errors))
    run.record([made])
    assert shard.phase is Phase.COLLECT
    assert shard.batch is not None
    assert len(shard.batch.facts["errors"]) == 50
    assert shard.batch.facts["errors"][7] == {"code": "c", "message": "m7", "line": 7}
    expected = Event("absent", {"intent": "i"}, step="start", round=1, shard=1)
    assert event(shard, StepName.START, "absent", intent="i") == expected


def test_answers_are_given_up_by_a_try_that_no_longer_waits_for_them(run: OpenRun) -> None:
    """A last try decides between lost and late; a failure of one that was still to wait must not end the run."""
    run.record([uploaded(ONE), intent(ONE), receipt(ONE), seen_batch(ONE)])
    told = shared(run)
    lane, missing = CollectLane(told), ProviderDoubt("does not show the output file yet")
    for number in range(REFUSED_TRIES + 1):
        (call,) = lane.calls(100.0 * number)
        lane.failed(call, missing, 100.0 * number + (0 if number < REFUSED_TRIES else 10 * told.patience))
        told.backoff(call.key).succeed()
    (call,) = lane.calls(20 * told.patience)
    assert told.stop is None
    lane.failed(call, missing, 20 * told.patience)
    assert told.stop is not None
