"""The lane that deletes at the provider what an ended run has left there, where the spec says so. What cannot be
deleted stays, with the reason in the journal; the next run tries again.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from batchflow import failpoints
from batchflow.engine.lanes import Call, Failure, Shared
from batchflow.engine.pool import THREADS
from batchflow.errors import ProviderRefused
from batchflow.journal.events import Event
from batchflow.steps.delete import NOT_HERE, RemoteCopy, Use, deletable, delete, is_here, look

LOOK: Final = "look who reads files"
MOST_FAILURES: Final = 5  # one after the other, before the rest is left for another time


class DeleteLane:
    """Looks once who reads files, then deletes ours, each once. `over` when nothing is left to try."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._left: dict[str, list[str]] = {}  # why -> files
        self._waiting = list(self._whole(deletable(shared.run.state)))
        self._use: Use | None = None
        self._open = 0
        self._failures = 0

    @property
    def over(self) -> bool:
        return not self._waiting and not self._open

    def _whole(self, copies: Iterable[RemoteCopy]) -> Iterator[RemoteCopy]:
        """Those whose content is in our folder to the byte."""
        here: dict[str, bool] = {}
        for copy in copies:
            name = copy.shard.name
            if name not in here:
                here[name] = is_here(self._shared.run.folder, copy.shard)
            if here[name]:
                yield copy
            else:
                self._leave(copy, NOT_HERE)

    def calls(self, now: float) -> Iterator[Call]:
        del now
        provider = self._shared.provider
        if self._use is None:
            if self._waiting and not self._open:
                self._open += 1
                copies = tuple(self._waiting)
                ours = [batch.batch_id for shard in self._shared.run.state.shards() for batch in shard.batches]
                yield Call(LOOK, lambda: look(provider, copies, ours))
            return
        while self._waiting and self._open < THREADS:
            copy = self._waiting.pop(0)
            if why := self._use.why_not(copy.file_id):
                self._leave(copy, why)
                continue
            self._open += 1
            yield Call(("delete", copy.file_id), partial(delete, provider, copy.file_id), copy)

    def succeeded(self, call: Call, result: Any, now: float) -> None:
        del now
        self._open -= 1
        self._failures = 0
        if call.key == LOOK:
            self._use = result
            return
        copy: RemoteCopy = call.subject
        payload = {"file_id": copy.file_id, "what": copy.what, "found": result}
        self._shared.run.record([Event("deleted", payload, round=copy.shard.round, shard=copy.shard.number)])
        failpoints.hit("delete.after-event")

    def failed(self, call: Call, error: Failure, now: float) -> None:
        del now
        self._open -= 1
        self._failures += 1
        given_up = call.key == LOOK or self._failures >= MOST_FAILURES
        given_up = given_up or (isinstance(error, ProviderRefused) and error.needs_human)
        copies = [] if call.subject is None else [call.subject]
        if given_up:
            copies += self._waiting
            self._waiting = []
        for copy in copies:
            self._leave(copy, error.message)

    def due(self, now: float) -> Iterator[float]:
        del now
        return iter(())

    def _leave(self, copy: RemoteCopy, why: str) -> None:
        self._left.setdefault(why, []).append(copy.file_id)

    def close(self) -> None:
        """Record what is left, where that is not known yet."""
        known = self._shared.run.state.left
        for why, ids in self._left.items():
            files = [{"file_id": file_id} for file_id in ids if known.get(file_id) != why]
            if files:
                self._shared.run.record([Event("left", {"files": files, "why": why})])
