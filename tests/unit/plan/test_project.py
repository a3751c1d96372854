"""How runs are found by their hash, and planned by one command at a time."""

import shutil
from pathlib import Path

import pytest

from batchflow import clock, files
from batchflow.errors import RunBusy, UsageError
from batchflow.plan import project as project_module
from batchflow.plan.model import read_plan
from batchflow.plan.project import Project, again_of
from tests.unit.plan.plans import made_run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    found.create()
    return found


def test_the_runs_folder_is_private_and_left_out_of_version_control(project: Project) -> None:
    assert project.runs.stat().st_mode & 0o777 == 0o700
    assert (project.runs / ".gitignore").read_text() == "*\n"
    (project.runs / ".gitignore").write_text("the user's own\n")
    project.create()
    assert (project.runs / ".gitignore").read_text() == "the user's own\n"


def test_a_project_without_runs_has_none(tmp_path: Path) -> None:
    assert list(Project(tmp_path).folders()) == []
    assert Project(tmp_path).newest_first() == []


def test_runs_of_one_hash_come_in_the_order_of_their_making(project: Project) -> None:
    for again in (10, 2, 1):
        made_run(project.runs, again=again)
    made_run(project.runs, seed="another")
    found = project.same(next(plan.fingerprint for folder, plan in project.plans() if again_of(folder.run) == 10))
    assert [again_of(folder.run) for folder in found] == [1, 2, 10]


def test_the_run_planned_last_comes_first(project: Project) -> None:
    early, late = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"
    made = [
        made_run(project.runs, seed="a", created_at=late),
        made_run(project.runs, seed="b", created_at=early),
        *(made_run(project.runs, seed="a", again=again, created_at=late) for again in (10, 2)),
        made_run(project.runs, "other", seed="c", created_at="2026-03-01T00:00:00.000Z"),
    ]
    assert [folder for folder, _ in project.newest_first()] == [made[4], made[2], made[3], made[0], made[1]]


def test_folders_that_are_no_runs_are_passed_over_but_a_damaged_run_is_told(project: Project) -> None:
    run = made_run(project.runs)
    (project.runs / "notes").mkdir()
    (project.runs / "a file").write_bytes(b"")
    (project.runs / f".building-1{files.PART}").mkdir()
    assert [folder.path for folder in project.folders()] == [run.path]
    assert not list(project.unreadable())
    run.manifest.write_bytes(b"{}")
    assert not list(project.plans())
    assert list(project.unreadable()) == [run.path]


def test_a_copy_under_another_name_is_no_run_and_is_told(project: Project) -> None:
    run = made_run(project.runs)
    for suffix in ("-2", "-backup"):
        shutil.copytree(run.path, run.path.with_name(run.run + suffix))
    plan = read_plan(run.manifest)
    assert [folder.run for folder in project.folders()] == [run.run]
    assert [folder.run for folder in project.same(plan.fingerprint)] == [run.run]
    assert [folder.run for folder, _ in project.newest_first()] == [run.run]
    assert [(folder.run, plan.run) for folder, plan in project.misnamed()] == [
        (f"{run.run}-2", run.run),
        (f"{run.run}-backup", run.run),
    ]
    assert not list(project.unreadable())
    assert project.check_names() == [
        f"{run.path}{suffix} holds a copy of the run {run.run} and is left out" for suffix in ("-2", "-backup")
    ]


def test_a_run_that_was_renamed_is_refused_for_what_it_may_have_bought(project: Project) -> None:
    run = made_run(project.runs)
    run.path.rename(project.runs / "old")
    with pytest.raises(UsageError, match=f"old holds the run {run.run} under another name"):
        project.check_names()


def test_only_one_command_plans_at_a_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_module, "LOCK_PATIENCE", 0.15)
    with project.locked():
        begun = clock.monotonic()
        with pytest.raises(RunBusy, match="another command is planning"), project.locked():
            pass
        assert clock.monotonic() - begun >= 0.15
    with project.locked():
        pass


def test_planning_sweeps_what_a_crash_left(project: Project) -> None:
    left = project.runs / f".building-1{files.PART}"
    left.mkdir()
    with project.locked():
        assert not left.exists()
