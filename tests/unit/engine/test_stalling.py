"""A batch that does not move is spoken of once in a while, across processes, and never given up."""

from datetime import timedelta
from pathlib import Path

import pytest

from batchflow import clock
from batchflow.engine.stalling import Movement, in_words, read_progress, seconds_since
from batchflow.providers.base import Batch

HOUR = 3600.0


class Time:
    """Wall time that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment = clock.now()
        monkeypatch.setattr(clock, "now", lambda: self.moment)

    def pass_hours(self, hours: float) -> None:
        self.moment += timedelta(hours=hours)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def batch(status: str = "in_progress", done: int = 0) -> dict[str, Batch]:
    return {"batch_1": Batch("batch_1", status, counts={"total": 9, "completed": done, "failed": 0})}


def test_it_is_said_once_each_period_with_the_way_out(tmp_path: Path, time: Time) -> None:
    movement = Movement(tmp_path / "progress.json", 26 * HOUR)
    assert movement.look(batch(), {}) == []
    time.pass_hours(25.9)
    assert movement.look(batch(), {}) == []
    time.pass_hours(0.2)
    (line,) = movement.look(batch(), {})
    assert "batch_1 is in_progress and has not moved for 26 hours" in line
    assert "batchflow cancel" in line
    assert "not given up" in line
    assert movement.look(batch(), {}) == []
    time.pass_hours(26)
    (again,) = movement.look(batch(), {})
    assert again != line  # the same line is shown once


@pytest.mark.parametrize("moved", [batch(done=1), batch("finalizing")], ids=["counts", "status"])
def test_any_change_is_movement(tmp_path: Path, time: Time, moved: dict[str, Batch]) -> None:
    movement = Movement(tmp_path / "progress.json", 2 * HOUR)
    movement.look(batch(), {})
    time.pass_hours(1.5)
    movement.look(moved, {})
    time.pass_hours(1.5)
    assert movement.look(moved, {}) == []
    time.pass_hours(1)
    assert movement.look(moved, {})


def test_the_next_process_knows(tmp_path: Path, time: Time) -> None:
    path = tmp_path / "progress.json"
    Movement(path, HOUR).look(batch(done=3), {})
    since = read_progress(path)["batch_1"]["moved"]
    time.pass_hours(3)
    (line,) = Movement(path, HOUR).look(batch(done=3), {})
    assert "3 hours" in line
    assert since in line
    assert read_progress(path)["batch_1"] == {
        "status": "in_progress",
        "counts": {"total": 9, "completed": 3, "failed": 0},
        "moved": since,
    }


def test_without_a_record_the_journal_tells(tmp_path: Path, time: Time) -> None:
    since = clock.stamp(time.moment - timedelta(hours=30))
    (line,) = Movement(tmp_path / "progress.json", 26 * HOUR).look(batch(), {"batch_1": since})
    assert "30 hours" in line


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"batches": 3}', "\x00"])
def test_a_damaged_record_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(content)
    assert read_progress(path) == {}


def test_a_batch_that_has_ended_has_not_stalled(tmp_path: Path, time: Time) -> None:
    movement = Movement(tmp_path / "progress.json", HOUR)
    movement.look(batch("completed"), {})
    time.pass_hours(9)
    assert movement.look(batch("completed"), {}) == []


def test_moments_and_lengths() -> None:
    assert seconds_since("nonsense") == 0.0
    assert seconds_since("2999-01-01T00:00:00.000Z") == 0.0
    assert [in_words(seconds) for seconds in (5.0, 600.0, 26 * HOUR)] == ["5 seconds", "10 minutes", "26 hours"]
