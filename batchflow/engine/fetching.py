"""The lanes that bring answers home: onto our disk, then into the tables."""

from collections.abc import Callable, Hashable, Iterator
from typing import Final

from batchflow import clock, failpoints
from batchflow.engine.lanes import Call, Failure, Shared, event
from batchflow.errors import DatabaseHeld, ProviderRefused
from batchflow.journal.events import Event
from batchflow.journal.state import Phase, ShardState
from batchflow.steps.base import StepName
from batchflow.steps.collect import Collect, Collected, CollectTask, read_shard
from batchflow.steps.load import Loader

PATIENCE: Final = 300.0  # seconds at the end for another program to let go of the database; never scaled
RETRY: Final = 1.0  # seconds between two tries to open it
REFUSED_TRIES: Final = 10


class CollectLane:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._step = Collect(shared.provider, shared.run.folder)
        self._tries: dict[str, int] = {}

    def calls(self, now: float) -> Iterator[Call]:
        shared = self._shared
        if not shared.settings.reaches(StepName.COLLECT):
            return
        for shard in shared.shards(Phase.COLLECT):
            key = ("collect", shard.name)
            if shared.backoff(key).due <= now:
                task = self._task(shard)
                yield Call(key, lambda task=task: self._step.perform(task), shard)  # type: ignore[misc]

    def _task(self, shard: ShardState) -> CollectTask:
        facts = {} if shard.batch is None else shard.batch.facts
        completed = facts.get("counts", {}).get("completed")
        return CollectTask(
            shard=shard.name,
            output_file_id=facts.get("output_file_id"),
            error_file_id=facts.get("error_file_id"),
            expected_lines=completed if facts.get("status") == "completed" else None,
            tries=self._tries.get(shard.name, 0),
        )

    def succeeded(self, call: Call, result: tuple[Collected, ...], now: float) -> None:
        del now
        shard: ShardState = call.subject
        shared = self._shared
        account = read_shard(shared.run.folder, shard.round, shard.number, [file.name for file in result]).run().account
        batch_id = "" if shard.batch is None else shard.batch.batch_id
        shared.run.record(
            [
                event(
                    shard,
                    StepName.COLLECT,
                    "collected",
                    batch_id=batch_id,
                    files=[file.to_json() for file in result],
                    account=account.to_json(),
                )
            ]
        )
        failpoints.hit("collect.after-event")
        shared.backoff(call.key).succeed()
        shared.out_of_money += account.out_of_money
        if any(file.lost for file in result):
            shared.say(f"{shard.name}: the provider no longer has a result file of {batch_id}; its rows stay owed")

    def failed(self, call: Call, error: Failure, now: float) -> None:
        shard: ShardState = call.subject
        self._tries[shard.name] = tries = self._tries.get(shard.name, 0) + 1
        if isinstance(error, ProviderRefused) and tries > REFUSED_TRIES:
            self._shared.halt(error)
        else:
            self._shared.trouble(call.key, error, now, f"answers of {shard.name}")

    def due(self, now: float) -> Iterator[float]:
        keys: Iterator[Hashable] = (("collect", shard.name) for shard in self._shared.shards(Phase.COLLECT))
        return self._shared.next_due(keys, now)


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
