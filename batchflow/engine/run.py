"""One run opened for advancing: its folder, plan, journal and state, under its lock."""

from collections.abc import Sequence
from typing import NamedTuple

from batchflow import files
from batchflow.errors import JournalDamaged, RunBusy
from batchflow.journal.events import Event
from batchflow.journal.journal import Journal, replay
from batchflow.journal.state import RunState, apply, fold
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan, read_plan


class RunView(NamedTuple):
    """A run as a reader sees it: nothing is locked, nothing can be written."""

    folder: RunFolder
    plan: Plan
    state: RunState


def view(folder: RunFolder) -> RunView:
    """Read a run without disturbing whoever advances it."""
    return RunView(folder, read_plan(folder.manifest), _folded(folder, replay(folder.journal).events))


def _folded(folder: RunFolder, events: Sequence[Event]) -> RunState:
    try:
        return fold(events)
    except ValueError as error:
        raise JournalDamaged(
            f"the journal {folder.journal} contradicts itself: {error}",
            hint="put the file back from a backup; `batchflow run SPEC --fresh` starts over and buys everything again",
        ) from error


class OpenRun:
    """A run that this process advances. `record` is the only way its state changes."""

    def __init__(self, folder: RunFolder, lock: files.FileLock) -> None:
        self.folder = folder
        self.plan = read_plan(folder.manifest)
        self._lock = lock
        self._journal, events = Journal.take_over(folder.journal)
        self.state = _folded(folder, events)
        for path in (folder.requests, folder.responses):
            files.sweep(files.make_folder(path))  # git, for one, keeps no empty folder

    def record(self, events: Sequence[Event]) -> None:
        """Make events durable, then true."""
        for event in self._journal.append(events):
            apply(self.state, event)

    def check_writer(self) -> None:
        """Raises RunBusy if another process wrote to the journal."""
        self._journal.check_writer()

    def close(self) -> None:
        self._journal.close()
        self._lock.release()


def lock(folder: RunFolder, *, hint: str = "") -> files.FileLock:
    """The run's lock, held; raises RunBusy, with the hint, if another process advances this run."""
    found = files.FileLock(folder.lock)
    if not found.acquire():
        raise RunBusy(
            f"another process is advancing the run {folder.run}",
            hint=hint or "let it finish; `batchflow status` shows how far it is",
        )
    return found
