"""Runs that released versions left on disk: today's code folds, rebuilds, finishes them.

`tests/replay/<version>/complete` and `planned` were written by that version; they are never edited. A new release adds
a folder: `python -m tests.replay` writes it.
"""

import shutil
from pathlib import Path

import duckdb
import pytest

from batchflow.engine.run import view
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import read_plan
from batchflow.steps.summary import State, account_of, state_of
from tests.zygote import Zygote

VERSIONS = sorted(path for path in Path(__file__).parent.iterdir() if path.is_dir() and path.name[0].isdigit())


def copied(stored: Path, project: Path) -> str:
    """The run under its own name, which is its identity, in a project; returns the path from there."""
    name = read_plan(stored / "manifest.json").run
    shutil.copytree(stored, project / "runs" / name)
    return f"runs/{name}"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
class TestRelease:
    def test_a_complete_run_folds(self, version: Path) -> None:
        run = view(RunFolder(version / "complete"))
        assert state_of(run.state) is State.COMPLETE
        assert account_of(run.state).answered == run.plan.requests == 3

    def test_its_tables_are_rebuilt(self, version: Path, tmp_path: Path, zygote: Zygote) -> None:
        run = copied(version / "complete", tmp_path)
        assert zygote.run(tmp_path, ["load", run, "--rebuild"]).status == 0
        with duckdb.connect(str(tmp_path / "results.duckdb"), read_only=True) as con:
            rows = con.execute("SELECT row_id, outcome, topic, content IS NOT NULL FROM results").fetchall()
        assert rows == [("a", "answered", "tea", True), ("b", "answered", "Käse", True), ("c", "answered", "", True)]

    def test_a_planned_run_is_finished(self, version: Path, tmp_path: Path, zygote: Zygote) -> None:
        ended = zygote.run(tmp_path, ["run", copied(version / "planned", tmp_path), "--json"])
        assert ended.status == 0, ended.stderr
        assert ended.json()["requests"]["answered"] == 3


def test_there_is_a_folder_for_this_version() -> None:
    assert VERSIONS
