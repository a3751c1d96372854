"""The lanes that send: upload the shards whose turn comes, and create their batches, each at most once."""

from collections.abc import Hashable, Iterator
from secrets import token_hex
from typing import Any

from batchflow import failpoints
from batchflow.engine.lanes import Call, Failure, Shared, batch_event, event, for_a_human
from batchflow.engine.pool import THREADS
from batchflow.errors import BatchRejected, ProviderDoubt, ProviderRefused
from batchflow.journal.state import Phase, ShardState
from batchflow.providers.base import Batch, RemoteFile
from batchflow.steps.base import StepName
from batchflow.steps.expiry import expiry, of_request_file
from batchflow.steps.start import Start, StartTask
from batchflow.steps.upload import Upload, UploadTask

AHEAD = 2  # files uploaded beyond those whose batches may be open
TOO_MANY_REQUESTS = 429
UNSEEN_TRIES = 3


class UploadLane:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._step = Upload(shared.provider)

    def calls(self, now: float) -> Iterator[Call]:
        shared = self._shared
        if shared.rejection is not None or not shared.settings.sends(StepName.UPLOAD):
            return
        waiting = sum(1 for _ in shared.shards(Phase.START))
        room = shared.settings.batches_in_flight + AHEAD - shared.open_batches() - waiting
        if shared.settings.until == StepName.UPLOAD:
            room = len(shared.run.state.rounds[shared.run.state.round])
        for shard in list(shared.shards(Phase.UPLOAD))[: max(0, room)]:
            key = ("upload", shard.name)
            if shared.backoff(key).due <= now and shared.affordable(shard):
                task = self._task(shard)
                yield Call(key, lambda task=task: self._step.perform(task), shard)  # type: ignore[misc]

    def _task(self, shard: ShardState) -> UploadTask:
        folder = self._shared.run.folder
        name = f"{self._shared.run.plan.run}-{shard.name}.jsonl"
        tries = self._shared.backoff(("upload", shard.name)).failures
        kept = of_request_file(self._shared.settings.expires_after)
        return UploadTask(folder.shard(shard.name), name, shard.bytes, shard.sha256, tries, kept)

    def succeeded(self, call: Call, result: RemoteFile, now: float) -> None:
        del now
        shard: ShardState = call.subject
        asked = of_request_file(self._shared.settings.expires_after)
        told = {} if asked is None else {"expiry": expiry(asked, result)}
        facts = {"file_id": result.id, "bytes": result.bytes, "created_at": result.created_at}
        self._shared.run.record([event(shard, StepName.UPLOAD, "uploaded", **facts, **told)])
        failpoints.hit("upload.after-event")
        self._shared.backoff(call.key).succeed()

    def failed(self, call: Call, error: Failure, now: float) -> None:
        if isinstance(error, ProviderRefused) and not error.needs_human and error.status != TOO_MANY_REQUESTS:
            reject(self._shared, call.subject, error.provider_code, error.message)
        else:
            self._shared.trouble(call.key, error, now, f"upload of {call.subject.name}")

    def due(self, now: float) -> Iterator[float]:
        keys: Iterator[Hashable] = (("upload", shard.name) for shard in self._shared.shards(Phase.UPLOAD))
        return self._shared.next_due(keys, now)


class StartLane:
    """Creates batches. `performing` names the shards whose open intent is a call of ours that still runs."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._step = Start(shared.provider, shared.run.check_writer)
        self._doubted_files: set[str] = set()
        self.performing: set[str] = set()

    def calls(self, now: float) -> Iterator[Call]:
        shared = self._shared
        if shared.rejection is not None or not shared.settings.sends(StepName.START):
            return
        for shard in list(shared.shards(Phase.START)):
            if shared.backoff(("start", shard.name)).due > now:
                continue
            if shard.name in self._doubted_files:
                yield Call(("file", shard.name), lambda shard=shard: shared.provider.find_file(shard.file_id), shard)  # type: ignore[misc]
                continue
            open_ = shared.open_batches()
            if open_ >= shared.settings.batches_in_flight or shared.backoff("start").due > now:
                return
            if len(self.performing) >= THREADS:  # no intent waits in a queue behind other calls
                return
            if not (shared.gate.may_create(now, open_=open_, unproven=self._unproven()) and shared.affordable(shard)):
                return
            yield self._start(shard)

    def _unproven(self) -> int:
        """Batches of ours of which we do not know yet whether they got past validation."""
        states = self._shared.shards(Phase.POLL, Phase.DOUBT)
        return sum(1 for shard in states if shard.batch is None or shard.batch.status in {"created", "validating"})

    def _start(self, shard: ShardState) -> Call:
        failpoints.hit("start.before-intent")
        task = StartTask(
            file_id=shard.file_id,
            endpoint=self._shared.run.plan.endpoint,
            intent=token_hex(16),
            run=self._shared.run.plan.run,
            shard=shard.name,
            sha256=shard.sha256,
            expires_after=self._shared.settings.expires_after,
        )
        asked = {} if task.expires_after is None else {"output_expires_after": task.expires_after}
        facts = {"intent": task.intent, "file_id": task.file_id, **asked}
        self._shared.run.record([event(shard, StepName.START, "intent", **facts)])
        failpoints.hit("start.after-intent")
        self.performing.add(shard.name)
        return Call(("start", shard.name), lambda: self._step.perform(task), shard)

    def succeeded(self, call: Call, result: Any, now: float) -> None:
        shard: ShardState = call.subject
        if call.key == ("file", shard.name):
            self._file_checked(shard, result)
            return
        self.performing.discard(shard.name)
        adopt(self._shared, shard, result, adopted=False)
        failpoints.hit("start.after-receipt")
        self._shared.backoff("start").succeed()
        self._shared.rhythm.hurry(now)

    def failed(self, call: Call, error: Failure, now: float) -> None:
        shard: ShardState = call.subject
        shared = self._shared
        if call.key == ("file", shard.name):
            shared.trouble(("start", shard.name), error, now, f"check of the file of {shard.name}")
            return
        self.performing.discard(shard.name)
        if isinstance(error, ProviderDoubt):
            shared.backoff("start").fail(now, error.retry_after)
            shared.say(f"{shard.name}: {error.message}; looking whether its batch was made")
            return
        self._refused(shard, error, now)

    def _refused(self, shard: ShardState, error: ProviderRefused, now: float) -> None:
        """A plain 4xx: nothing was created, the intent is closed."""
        shared = self._shared
        intent = shard.open_intent
        assert intent is not None  # noqa: S101 - it was recorded before the call
        closing = {"intent": intent.intent, "status": error.status, "code": error.provider_code}
        shared.run.record([event(shard, StepName.START, "refused", **closing, message=error.message)])
        if error.needs_human:
            shared.halt(for_a_human(error))
        elif is_queue_full(error.provider_code, error.provider_message):
            queue_full(shared, shard, now, error.provider_message)
        elif error.status == TOO_MANY_REQUESTS:
            shared.trouble("start", error, now, f"start of {shard.name}")
        else:
            reject(shared, shard, error.provider_code, error.message)

    def file_unseen(self, shard: ShardState, now: float) -> None:
        """The provider failed the batch because it did not find a file that is there: look, wait, create again."""
        self._doubted_files.add(shard.name)
        self._shared.backoff(("start", shard.name)).fail(now)

    def _file_checked(self, shard: ShardState, file: RemoteFile | None) -> None:
        self._doubted_files.discard(shard.name)
        if file is None:
            last = shard.batches[-1].batch_id
            self._shared.run.record([event(shard, StepName.POLL, "released", batch_id=last, cause="file_gone")])

    def due(self, now: float) -> Iterator[float]:
        waiting = list(self._shared.shards(Phase.START))
        if waiting:
            keys: list[Hashable] = ["start", *(("start", shard.name) for shard in waiting)]
            yield from self._shared.next_due(iter(keys), now)
            if self._shared.gate.due > now:
                yield self._shared.gate.due


def adopt(shared: Shared, shard: ShardState, batch: Batch, *, adopted: bool) -> None:
    """A batch of ours exists: close its intent, remember what it looks like."""
    intent = shard.open_intent
    assert intent is not None  # noqa: S101 - only an open intent has a batch to adopt
    receipt = event(shard, StepName.START, "receipt", intent=intent.intent, batch_id=batch.id, adopted=adopted)
    shared.run.record([receipt, batch_event(shard, batch)] if not batch.ended else [receipt])
    shared.wonder(batch)


def is_queue_full(code: str, message: str) -> bool:
    return code == "token_limit_exceeded" or "enqueued token limit" in message.lower()


def queue_full(shared: Shared, shard: ShardState, now: float, words: str) -> None:
    """Close the gate; give up on a shard that cannot ever fit."""
    shared.say(f"the provider's queue is full, waiting for room ({words})")
    if shared.gate.refused(shard.name, now, open_=shared.open_batches()):
        reject(
            shared,
            shard,
            "token_limit_exceeded",
            f"{words} It was refused with nothing of ours in the queue: "
            "the shard alone exceeds the limit, or batches of others fill it.",
            hint="lower limits.requests_per_batch in the spec and `batchflow run SPEC --fresh`; "
            "or, if others use the same account, run the same command again later",
        )


def reject(
    shared: Shared, shard: ShardState, code: str, message: str, *, rows: list[Any] | None = None, hint: str = ""
) -> None:
    """The provider will never take this shard as it is: its requests stay unsent, the run stops after the others."""
    shared.run.record([event(shard, StepName.POLL, "rejected", code=code, message=message, rows=rows or [])])
    named = "".join(
        f"\n  line {row['line']} = {row['custom_id']} = row {row['row_id']}: {row['message']}" for row in rows or []
    )
    shared.rejection = shared.rejection or BatchRejected(
        f"{shard.name} was refused by the provider: {message}{named}",
        hint=hint or _way_out(shared, message),
    )


def _way_out(shared: Shared, message: str) -> str:
    """What to do about a refusal; services that speak this protocol need not know how long files are to be kept."""
    again = "nothing of it was run or billed; mend the cause and run the same command again"
    if shared.settings.expires_after is None:
        return again
    if "expires_after" in message:
        return (
            "this provider does not take `output.expires_after` as it is: mend or remove it in the spec and run the "
            "same command again; nothing was run or billed, and no request changes by it"
        )
    return f"{again}; if this provider does not know `output.expires_after`, removing it from the spec mends it"
