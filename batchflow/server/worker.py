"""The thread that moves batches on by the server's own clock, whether anybody asks for them or not.

It holds nothing in memory: each pass takes every open batch one small step further and commits it, so that a killed
server goes on where its last commit was. No step executes a row twice.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from batchflow.server.faults import Faults
from batchflow.server.ledger import Executed, Ledger
from batchflow.server.lines import Chunk, read_chunk
from batchflow.server.outputs import Outputs, Stopped
from batchflow.server.pace import CHUNK, EXECUTED, VALIDATED, Pace
from batchflow.server.responder import Responder
from batchflow.server.rows import Row, RowExecutor, without_money
from batchflow.server.store import Store, StoredBatch
from batchflow.server.validating import Validator

_PAUSE: Final = 0.02  # seconds between passes in which nothing could be done
_ASLEEP: Final = 1.0  # seconds between looks while no batch is open


class Worker(threading.Thread):
    """Runs until `stop`; `failure` says whether it died of a bug, which ends the server."""

    def __init__(self, store: Store, responder: Responder, faults: Faults, pace: Pace) -> None:
        super().__init__(name="worker", daemon=True)
        self.failure: BaseException | None = None
        self._store = store
        self._ledger = Ledger(store)
        self._responder = responder
        self._faults = faults
        self._pace = pace
        self._validator = Validator(store, self._ledger, faults)
        self._stopping = threading.Event()
        self._outputs = Outputs(store, self._ledger, faults, self._stopping.is_set)
        self._woken = threading.Event()
        self._next_row_at = self._store.clock.monotonic()
        self._steps: dict[str, Callable[[StoredBatch], bool]] = {
            "validating": self._validate,
            "in_progress": self._execute,
            "finalizing": self._finalize,
            "cancelling": self._cancel,
        }

    def wake(self) -> None:
        """There is something new to do."""
        self._woken.set()

    def stop(self) -> None:
        """End after the step under way."""
        self._stopping.set()
        self._woken.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._woken.clear()
                self._store.keep_moment()
                batches = self._store.open_batches()
                if not self._pass(batches):
                    self._woken.wait(_PAUSE if batches else _ASLEEP)
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must end the server, not be lost
            self.failure = error

    def _pass(self, batches: list[StoredBatch]) -> bool:
        """One step for each batch; whether any of them moved."""
        moved = False
        for batch in batches:
            if self._stopping.is_set():
                return True
            moved = self._steps[batch.status](batch) or moved
        return moved

    def _due(self, batch: StoredBatch, share: float) -> bool:
        return self._pace.due(batch, self._store.clock.unix(), share)

    def _stuck(self, batch: StoredBatch, at: str) -> bool:
        return any(rule["at"] == at for rule in self._faults.on_batch("stuck", batch.number))

    def _validate(self, batch: StoredBatch) -> bool:
        if self._stuck(batch, "validating"):
            return False
        return self._validator.step(batch, CHUNK, may_conclude=self._due(batch, VALIDATED))

    def _execute(self, batch: StoredBatch) -> bool:
        if self._stuck(batch, "in_progress"):
            return False
        expiring, cancelling = self._last(batch, "expire"), self._last(batch, "cancel")
        last = min(expiring, cancelling)
        now = self._store.clock.unix()
        if batch.next <= last and now <= batch.expires:
            reached = min(last, self._pace.reached(batch, now))
            return batch.next <= reached and self._execute_rows(batch, reached)
        if not self._due(batch, EXECUTED) or self._held(batch):
            return False
        if expiring < batch.total or self._store.clock.unix() > batch.expires:
            return self._outputs.conclude(batch, "expired", "expired_at")
        if cancelling < batch.total:
            return self._store.update_batch(batch, status="cancelling", cancelling_at=self._store.clock.unix())
        return self._store.update_batch(batch, status="finalizing", finalizing_at=self._store.clock.unix())

    def _last(self, batch: StoredBatch, kind: str) -> int:
        """The ordinal of the last row before an end of this kind; that of the last of all if none is to come."""
        fractions = [rule["fraction"] for rule in self._faults.on_batch(kind, batch.number)]
        return int(min(fractions, default=1.0) * batch.total)

    def _held(self, batch: StoredBatch) -> bool:
        """Whether a fault shows an unknown status at the moment."""
        return any(
            self._store.clock.unix() < batch.created + rule["seconds"]
            for rule in self._faults.on_batch("status", batch.number)
        )

    def _execute_rows(self, batch: StoredBatch, last: int) -> bool:
        now = self._store.clock.monotonic()
        if now < self._next_row_at:
            return False
        count = min(self._pace.chunk, last - batch.next + 1)
        chunk = read_chunk(self._store.path_of(batch.input_file_id), batch.offset, batch.line, count)
        noted, created = self._store.count_problem, int(self._store.clock.unix())
        executor = RowExecutor(batch, self._responder, self._faults, created, noted=noted)
        funded = self._funded(batch)
        executed: list[Executed] = []
        for row in self._rows(batch, chunk):
            if self._stopping.is_set():
                raise Stopped  # the chunk is not committed, and executed anew after the next start
            executed.append(executor.execute(row) if len(executed) < funded else self._unpaid(batch, row.ordinal))
        self._ledger.record(_moved_on(batch, chunk), executed)
        self._next_row_at = max(now, self._next_row_at) + len(executed) / self._pace.rows_per_second
        return True

    def _funded(self, batch: StoredBatch) -> float:
        """How many more rows the account can pay for."""
        limits = [rule["after"] for rule in self._faults.on_batch("quota_gone", batch.number)]
        return min(limits) - self._ledger.rows_executed() if limits else float("inf")

    def _unpaid(self, batch: StoredBatch, ordinal: int) -> Executed:
        return without_money(batch, ordinal, self._ledger.custom_id(batch, ordinal))

    def _rows(self, batch: StoredBatch, chunk: Chunk) -> list[Row]:
        draws = self._ledger.draws(batch, batch.next, len(chunk.lines))
        return [
            Row(batch.next + position, raw, draw)
            for position, ((_, raw), draw) in enumerate(zip(chunk.lines, draws, strict=True))
        ]

    def _finalize(self, batch: StoredBatch) -> bool:
        if self._stuck(batch, "finalizing"):
            return False
        return self._due(batch, 1.0) and self._outputs.conclude(batch, "completed", "completed_at")

    def _cancel(self, batch: StoredBatch) -> bool:
        """A slow cancel goes on executing until its time is over."""
        if self._stuck(batch, "cancelling"):
            return False
        until = (batch.cancelling_at or 0.0) + max(
            (rule["seconds"] for rule in self._faults.on_batch("slow_cancel", batch.number)), default=0.0
        )
        if self._store.clock.unix() < until:
            return batch.next <= batch.total and self._execute_rows(batch, batch.total)
        return self._outputs.conclude(batch, "cancelled", "cancelled_at")


def _moved_on(batch: StoredBatch, chunk: Chunk) -> StoredBatch:
    return replace(batch, line=chunk.line, offset=chunk.offset, next=batch.next + len(chunk.lines))
