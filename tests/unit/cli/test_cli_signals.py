"""A signal before the engine has begun: 130, a word, and nothing was sent; and what `nohup` turned off stays off."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from batchflow.files import FileLock
from tests.crash.harness import Study
from tests.unit.cli.terminal import Terminal
from tests.unit.cli.test_cli_errors import write_study
from tests.unit.cli.test_cli_terminal import settings

RUN = [sys.executable, "-m", "batchflow", "run", "experiment.yaml", "--json"]


def planning(folder: Path) -> FileLock:
    """A study, and its project's lock as another command holds it."""
    write_study(folder)
    (folder / "rows.csv").write_text("id,topic,unused\n1,bears,\n")
    (folder / "runs").mkdir()
    lock = FileLock(folder / "runs" / ".lock")
    assert lock.acquire()
    return lock


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_planning(number: signal.Signals, tmp_path: Path) -> None:
    with (
        planning(tmp_path),
        subprocess.Popen(RUN, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        assert process.stdout is not None
        assert "columns that no prompt uses" in process.stderr.readline()  # now it waits for the lock
        process.send_signal(number)
        assert process.wait(20) == 130
        assert process.stderr.read() == (
            f"error[interrupted]: interrupted by {number.name}, nothing was sent\n\n"
            "hint: run the same command again to go on from here\n"
        )
        record = json.load(process.stdout)
    assert (record["schema"], record["code"], record["exit"]) == ("batchflow.error/1", "interrupted", 130)
    assert not list(tmp_path.glob("runs/*/manifest.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_question(number: signal.Signals, make_study: Callable[..., Study]) -> None:
    study = make_study()
    with Terminal(study.folder, "run", "experiment.yaml", **settings(study)) as terminal:
        terminal.wait_for("Go on? [y/N]")
        terminal.send(number)
        assert terminal.end() == 130
    assert f"\nerror[interrupted]: interrupted by {number.name}, nothing was sent" in terminal.text()
    assert study.server.audit()["calls"] == {}


def test_a_window_that_closes_does_not_end_a_run_under_nohup(tmp_path: Path) -> None:
    with (
        planning(tmp_path) as lock,
        subprocess.Popen(["nohup", *RUN], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stderr is not None
        while b"columns that no prompt uses" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGHUP)
        lock.release()
        assert process.wait(30) == 0
