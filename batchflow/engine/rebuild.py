"""Tables from folders: makes the database what the runs of a project say, offline, with the source long gone."""

from collections.abc import Callable
from pathlib import Path

from batchflow.engine.run import view
from batchflow.errors import BatchflowError
from batchflow.journal.state import RunState
from batchflow.plan.project import Project
from batchflow.steps.load import Loader


def ensure_loaded(folder: Path, loader: Loader, state: RunState, *, say: Callable[[str], None]) -> bool:
    """Bring the tables up to a run that has ended; True if something had to be loaded."""
    if loader.up_to_date(state):
        return False
    load_run(folder, loader, state, say=say)
    return True


def load_run(folder: Path, loader: Loader, state: RunState, *, say: Callable[[str], None], anew: bool = False) -> int:
    """Load a run, and the others of its project where the database was not there or had another layout.

    Returns the response rows loaded of the run itself.
    """
    missing = not loader.database.is_file()
    rows = loader.load(state, anew=anew)
    if missing or loader.others_dropped:
        _load_others(folder, loader, say=say)
    return rows


def _load_others(folder: Path, loader: Loader, *, say: Callable[[str], None]) -> None:
    """The other runs of the project whose place is the same database; one that cannot be read is named."""
    project = Project(folder)
    for other in project.folders():
        if other.path == loader.folder.path:
            continue
        try:
            run = view(other)
            kept = run.state.sent or run.state.loaded is not None  # every answer may have been taken over
            if kept and (folder / run.plan.database).resolve() == loader.database.resolve():
                Loader(other, run.plan, loader.database).load(run.state)
        except (BatchflowError, ValueError) as error:
            say(f"the run {other.run} could not be loaded: {error}")
