"""The lane that ends what is open: in a cancelled run, every batch of ours is asked to end, and asked again where it
does not. That it has ended is seen by the lane that watches.
"""

from collections.abc import Hashable, Iterator
from typing import Any, Final

from batchflow.engine.lanes import Call, Failure, Shared
from batchflow.journal.state import Phase, ShardState
from batchflow.providers.base import Batch
from batchflow.steps.cancel import end_batch, is_ending

ASK_AGAIN: Final = 300.0  # seconds, scaled, after which a batch that goes on is asked once more


class CancelLane:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._asked: dict[str, float] = {}  # batch -> the moment to ask again; never where it is ending

    def calls(self, now: float) -> Iterator[Call]:
        shared = self._shared
        for shard, batch_id in self._open():
            key = ("cancel", batch_id)
            if self._asked.get(batch_id, 0.0) <= now and shared.backoff(key).due <= now:
                yield Call(key, lambda batch_id=batch_id: end_batch(shared.provider, batch_id), shard)  # type: ignore[misc]

    def _open(self) -> Iterator[tuple[ShardState, str]]:
        """The batches that have not ended, of a run that is cancelled."""
        if self._shared.settings.buys:
            return
        for shard in self._shared.shards(Phase.POLL):
            if shard.batch is not None:
                yield shard, shard.batch.batch_id

    @property
    def pending(self) -> bool:
        """Whether a batch is still to be asked."""
        return any(batch_id not in self._asked for _, batch_id in self._open())

    def succeeded(self, call: Call, result: Any, now: float) -> None:
        batch: Batch | None = result
        shared = self._shared
        shared.backoff(call.key).succeed()
        _, batch_id = call.key if isinstance(call.key, tuple) else ("", "")
        ending = batch is not None and is_ending(batch)
        self._asked[batch_id] = float("inf") if ending else now + ASK_AGAIN * shared.scale
        shared.rhythm.hurry(now)

    def failed(self, call: Call, error: Failure, now: float) -> None:
        self._shared.trouble(call.key, error, now, f"cancelling the batch of {call.subject.name}")

    def due(self, now: float) -> Iterator[float]:
        keys: Iterator[Hashable] = (("cancel", batch_id) for _, batch_id in self._open())
        yield from self._shared.next_due(keys, now)
        yield from (moment for moment in self._asked.values() if now < moment < float("inf"))
