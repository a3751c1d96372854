"""The lane that loads what was collected into the tables."""

from collections.abc import Callable, Iterator
from typing import Final

from batchflow import clock
from batchflow.engine.lanes import Shared
from batchflow.engine.rebuild import load_run
from batchflow.errors import BatchflowError, DatabaseHeld
from batchflow.journal.events import Event
from batchflow.journal.state import Phase
from batchflow.steps.base import StepName
from batchflow.steps.load import Loader

PATIENCE: Final = 300.0  # seconds at the end for another program to let go of the database; never scaled
RETRY: Final = 1.0  # seconds between two tries to open it


class LoadLane:
    """Loads in the main thread, between two looks; what is wrong with the database holds up nothing else."""

    def __init__(self, shared: Shared, loader: Loader) -> None:
        self._shared = shared
        self._loader = loader
        self._loaded: set[str] | None = None  # the shards of the last load; None before the first
        self._next = 0.0

    def tick(self, now: float) -> None:
        """Load what was collected since the last time, if the database lets us; otherwise say why, and try later."""
        due = self._next <= now and self._shared.settings.reaches(StepName.LOAD)
        if not (due and self._pending() - (self._loaded or set())):
            return
        try:
            rows = self._load()
        except (BatchflowError, OSError) as error:
            self._shared.say(f"{error}; the answers wait in {self._shared.run.folder.responses}")
            self._next = clock.monotonic() + RETRY
        else:
            self._record(rows)

    def _pending(self) -> set[str]:
        return {shard.name for shard in self._shared.run.state.shards() if shard.phase is Phase.COLLECTED}

    def _load(self) -> int:
        """Load everything collected; returns the rows that the tables lacked."""
        pending, run = self._pending(), self._shared.run
        rows = load_run(run.folder.project, self._loader, run.state, say=self._shared.say)
        self._loaded = pending
        return rows

    def _record(self, rows: int) -> None:
        run = self._shared.run
        run.record([Event("loaded", {"database": str(run.plan.database), "rows": rows}, step=StepName.LOAD)])

    def finish(self, stop_if_told: Callable[[], None]) -> None:
        """The last load of this command: wait for a database that is held, then give up with a way out."""
        deadline = clock.monotonic() + PATIENCE
        while self._loaded != self._pending() or not self._loader.database.is_file():
            try:
                rows = self._load()
            except DatabaseHeld as error:
                if clock.monotonic() > deadline:
                    raise DatabaseHeld(
                        f"all answers are safe in {self._shared.run.folder.responses}, but {error.message}",
                        hint=f"close the program that holds {self._shared.run.plan.database} and run again",
                    ) from error
                self._shared.say(f"{error.message}; the answers wait in {self._shared.run.folder.responses}")
                stop_if_told()
                clock.sleep(RETRY)
            else:
                self._record(rows)

    def due(self, now: float) -> Iterator[float]:
        if self._next > now:
            yield self._next
