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
from batchflow.sources.maps import count_keys
from batchflow.steps.take import Prior


@dataclass(frozen=True, slots=True)
class Held:
    """A run about to be forgotten, locked. answers: its final outcomes; only_here: those of which no other run of the
    project has one to the same request.
    """

    run: RunView
    lock: files.FileLock
    answers: int
    only_here: int


def hold(folder: RunFolder, *, busy: str) -> Held:
    """Lock the run and count what would be lost. Raises RunBusy if it has, or may have, a batch at the provider."""
    project = Project(folder.project)
    with project.locked():
        held = lock(folder, hint=busy)
        try:
            run = view(folder)
            _check_ended(run)
            here = (requests for _, requests in Prior(folder, run.state).finals())
            elsewhere = (requests for prior in priors_but(project, run) for _, requests in prior.finals())
            return Held(run, held, *count_keys(here, elsewhere))
        except BaseException:
            held.release()
            raise


def _check_ended(run: RunView) -> None:
    flying = sum(1 for _ in run.state.in_flight())
    if flying:
        raise RunBusy(
            f"{flying} batches of the run {run.folder.run} are open, or not fetched yet: nothing was deleted",
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
