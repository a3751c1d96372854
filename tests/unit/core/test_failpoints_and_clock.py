"""Crash windows die where they are told to; moments read as the journal writes them."""

import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from batchflow import clock, failpoints


def test_names_are_unique_and_grouped() -> None:
    assert len(set(failpoints.NAMES)) == len(failpoints.NAMES)
    assert {name.split(".")[0] for name in failpoints.NAMES} == {
        "build", "round", "journal", "upload", "start", "recovery", "poll", "collect", "load", "run",
        "cancel", "forget", "delete",
    }  # fmt: skip


def test_an_unknown_window_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        failpoints.hit("start.after-creat")


@pytest.mark.parametrize(("armed", "passed"), [("start.after-create", 0), ("start.after-create:3", 2)])
def test_the_process_dies_at_the_passing_that_was_named(armed: str, passed: int) -> None:
    script = (
        "from batchflow import failpoints\n"
        "for n in range(5):\n"
        "    failpoints.hit('poll.before-event')\n"
        "    failpoints.hit('start.after-create')\n"
        "    print(n, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={failpoints.VARIABLE: armed}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.splitlines()) == passed


def test_moments_are_utc_with_milliseconds() -> None:
    assert clock.stamp(datetime(2026, 11, 22, 9, 5, 7, 123456, tzinfo=UTC)) == "2026-11-22T09:05:07.123Z"
    assert clock.now().tzinfo is UTC
    before = clock.monotonic()
    clock.sleep(-1)
    clock.sleep(0.001)
    assert clock.monotonic() > before
    assert abs(clock.unix() - clock.now().timestamp()) < 5
