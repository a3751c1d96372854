"""The lane that loads what was collected into the tables."""

from collections.abc import Callable, Iterator
from typing import Final

from batchflow import clock
from batchflow.engine.lanes import Shared
from batchflow.errors import DatabaseHeld
from batchflow.journal.events import Event
from batchflow.journal.state import Phase
from batchflow.steps.base import StepName
from batchflow.steps.load import Loader

PATIENCE: Final = 300.0  # seconds at the end for another program to let go of the database; never scaled
RETRY: Final = 1.0  # seconds between two tries to open it


class LoadLane:
    """Loads in the main thread, between two looks; a database that is held holds up nothing else."""

    def __init__(self, shared: Shared, loader: Loader) -> None:
        self._shared = shared
        self._loader = loader
        self._loaded: set[str] | None = None  # the shards of the last load; None before the first
        self._next = 0.0

    def tick(self, now: float) -> None:
        """Load what was collected since the last time, if the database is free."""
        due = self._next <= now and self._shared.settings.reaches(StepName.LOAD)
        if due and self._pending() - (self._loaded or set()):
            self._try()

    def _pending(self) -> set[str]:
        return {shard.name for shard in self._shared.run.state.shards() if shard.phase is Phase.COLLECTED}

    def _try(self) -> bool:
        """Load everything collected; True if the tables hold it now."""
        pending = self._pending()
        if self._loaded == pending:
            return True
        try:
            rows = self._loader.load(self._shared.run.state)
        except DatabaseHeld as error:
            self._shared.say(f"{error.message}; the answers wait in {self._shared.run.folder.responses}")
            self._next = clock.monotonic() + RETRY
            return False
        self._loaded = pending
        loaded = {"database": str(self._shared.run.plan.database), "rows": rows}
        self._shared.run.record([Event("loaded", loaded, step=StepName.LOAD)])
        return True

    def finish(self, stop_if_told: Callable[[], None]) -> None:
        """The last load of this command: wait for the database if need be, then give up with a way out."""
        deadline = clock.monotonic() + PATIENCE
        while not self._try():
            stop_if_told()
            if clock.monotonic() > deadline:
                raise DatabaseHeld(
                    f"all answers are safe in {self._shared.run.folder.responses}, but the database is held by "
                    "another program",
                    hint=f"close the program that holds {self._shared.run.plan.database} and run again",
                )
            clock.sleep(RETRY)

    def due(self, now: float) -> Iterator[float]:
        if self._next > now:
            yield self._next
