"""Let go of a run for good: its rows first, then its folder, which goes whole.

Crash windows: `forget.before-rows` (nothing is gone), `forget.after-rows` (the folder is still whole: the run is there,
and its rows come back when it is loaded; or it is forgotten again).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from batchflow import failpoints, files
from batchflow.engine.neighbours import priors_but
from batchflow.engine.run import RunView, lock, view
from batchflow.errors import RunBusy
from batchflow.plan.folder import RunFolder
from batchflow.plan.project import Project
from batchflow.providers.local import LocalServer
from batchflow.sinks.duckdb import Sink
from batchflow.sources.maps import Kept, count_answers
from batchflow.steps.take import Prior


@dataclass(frozen=True, slots=True)
class Held:
    """A run about to be forgotten, locked, and what other runs of the project hold of its final answers."""

    run: RunView
    lock: files.FileLock
    kept: Kept


def hold(folder: RunFolder, *, busy: str) -> Held:
    """Lock the run and count what would be lost. Raises RunBusy if it has, or may have, a batch at the provider."""
    project = Project(folder.project)
    with project.locked():
        held = lock(folder, hint=busy)
        try:
            run = view(folder)
            _check_ended(run)
            elsewhere = (answers for prior in priors_but(project, run) for answers in prior.bought())
            return Held(run, held, count_answers(Prior(folder, run.state).bought(), elsewhere))
        except BaseException:
            held.release()
            raise


def _check_ended(run: RunView) -> None:
    flying = sum(1 for _ in run.state.in_flight())
    if flying:
        raise RunBusy(
            f"{flying} batch{'es' * (flying > 1)} of the run {run.folder.run} {'are' if flying > 1 else 'is'} open, or "
            "not fetched yet: nothing was deleted",
            hint=f"`batchflow run {run.folder.path}` finishes it, `batchflow cancel {run.folder.path}` ends it; "
            "then it can be forgotten",
        )


def forget(held: Held, databases: Iterable[Path]) -> bool:
    """Delete the run's rows and its folder; returns whether there were rows. Raises DatabaseHeld before anything."""
    folder = held.run.folder
    failpoints.hit("forget.before-rows")
    rows = [_forget_rows(database, folder.run) for database in databases if database.is_file()]
    failpoints.hit("forget.after-rows")
    if folder.server.is_dir():
        LocalServer(folder.server, 0).stop_if_running()
    files.remove_folder(folder.path)
    return any(rows)


def _forget_rows(database: Path, run: str) -> bool:
    with Sink.open(database) as sink:
        return sink.forget(run)
