"""The lane that watches: one look at all open batches at a time, and what a batch that failed means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from batchflow import clock, failpoints
from batchflow.engine.lanes import Call, Failure, Shared, batch_event, event, for_a_human
from batchflow.engine.sending import UNSEEN_TRIES, StartLane, is_queue_full, queue_full, reject
from batchflow.engine.stalling import Movement
from batchflow.errors import NEEDS_HUMAN, ProviderDoubt, ProviderRefused, ProviderUntrusted
from batchflow.journal.events import Event
from batchflow.journal.state import Phase, ShardState
from batchflow.providers.base import Batch
from batchflow.sources import maps
from batchflow.steps.base import StepName
from batchflow.steps.poll import Poll, PollTask, Sighting

UNPROVEN = frozenset({"created", "validating"})
POLL = "poll"
SHOWN_ROWS = 20


@dataclass(frozen=True, slots=True)
class Absence:
    """A batch of ours that the provider does not show: since when, and how often it was looked for."""

    since: float
    looks: int = 0

    def again(self) -> "Absence":
        return replace(self, looks=self.looks + 1)


Cause = Literal["token_limit", "no_money", "file_unseen", "ours"]


def why_failed(batch: Batch) -> tuple[Cause, str]:
    """Why a failed batch did nothing, and the provider's words for it."""
    words = "; ".join(dict.fromkeys(error.message or error.code for error in batch.errors)) or "no reason was given"
    codes = {error.code for error in batch.errors}
    if any(is_queue_full(error.code, error.message) for error in batch.errors):
        return "token_limit", words
    if codes & NEEDS_HUMAN:
        return "no_money", words
    if "cannot find file" in words.lower():
        return "file_unseen", words
    return "ours", words


class PollLane:
    def __init__(self, shared: Shared, start: StartLane) -> None:
        self._shared = shared
        self._start = start
        self._step = Poll(shared.provider)
        self._gone: dict[str, Absence] = {}
        self._silent: dict[str, float] = {}
        self._movement = Movement(shared.run.folder.progress, shared.settings.stalled_after)

    def calls(self, now: float) -> Iterator[Call]:
        shared = self._shared
        if not shared.settings.reaches(StepName.POLL):
            return
        watched = {shard.batch.batch_id: shard for shard in shared.shards(Phase.POLL) if shard.batch is not None}
        if watched and shared.rhythm.due <= now and shared.backoff(POLL).due <= now:
            task = PollTask({batch_id: _created(shard) for batch_id, shard in watched.items()})
            yield Call(POLL, lambda: self._step.perform(task), watched)
        for batch_id, absence in self._gone.items():
            if batch_id in watched and absence.looks > 1 and now - absence.since >= shared.settings.settle:
                shard = watched[batch_id]
                yield Call(("gone", batch_id), lambda shard=shard: shared.provider.find_file(shard.file_id), shard)  # type: ignore[misc]

    def succeeded(self, call: Call, result: Any, now: float) -> None:
        if call.key != POLL:
            self._judge_gone(call, result)
            return
        sighting: Sighting = result
        shared = self._shared
        shared.backoff(POLL).succeed()
        self._gone = {batch_id: self._gone.get(batch_id, Absence(now)).again() for batch_id in sighting.gone}
        self._hear(sighting, now)
        changed = [
            (shard, batch)
            for batch_id, batch in sighting.batches.items()
            if (shard := call.subject[batch_id]).phase is Phase.POLL and _changed(shard, batch)
        ]
        if changed:
            self._record(changed, now)
        shared.rhythm.looked(now, changed=bool(changed))
        since = {shard.batch.batch_id: shard.batch.seen for shard in call.subject.values() if shard.batch is not None}
        for line in self._movement.look(sighting.batches, since):
            shared.say(line)

    def _hear(self, sighting: Sighting, now: float) -> None:
        """Wait for the result files of batches that have ended without naming any; never take them for nothing."""
        silent = {batch_id for batch_id, batch in sighting.batches.items() if batch.silent}
        self._silent = {batch_id: self._silent.get(batch_id, now) for batch_id in silent}
        for batch_id, since in self._silent.items():
            batch = sighting.batches[batch_id]
            self._shared.say(f"batch {batch_id} is {batch.status} but names no result file yet; waiting for it")
            if now - since > self._shared.patience:
                self._shared.halt(
                    ProviderUntrusted(
                        f"batch {batch_id} is {batch.status}, {batch.executed} requests of it were executed, and it "
                        "names no result file",
                        hint="nothing is asked again: the answers are paid for. Run the same command again later; if "
                        "the provider says that they are lost, `batchflow run SPEC --fresh` buys them again",
                    )
                )

    def _record(self, changed: list[tuple[ShardState, Batch]], now: float) -> None:
        """The changes of one look together, then what follows from them."""
        shared = self._shared
        proven, failed = [], []
        events: list[Event] = []
        for shard, batch in changed:
            before = shard.batch.status if shard.batch is not None else "created"
            cause, words = _failure(batch)
            shared.wonder(batch)
            if before in UNPROVEN and batch.status not in UNPROVEN and cause != "token_limit":
                proven.append(shard)
            events.append(batch_event(shard, batch))
            if cause is not None:
                failed.append((shard, batch, cause, words))
                events.append(event(shard, StepName.POLL, "released", batch_id=batch.id, cause=cause))
        failpoints.hit("poll.before-event")
        shared.run.record(events)
        for shard, batch, cause, words in failed:
            self._react(shard, batch, cause, words, now)
        if proven:
            shared.gate.accepted(now, open_=shared.open_batches())

    def _react(self, shard: ShardState, batch: Batch, cause: Cause, words: str, now: float) -> None:
        """A failed batch did nothing and cost nothing; its cause says what to do with its shard."""
        shared = self._shared
        if not shared.settings.buys:  # nothing is done about it
            shared.say(f"batch {batch.id} failed by itself: {words}")
        elif cause == "token_limit":
            queue_full(shared, shard, now, words)
        elif cause == "no_money":
            code = next(error.code for error in batch.errors if error.code in NEEDS_HUMAN)
            shared.halt(for_a_human(ProviderRefused(f"batch {batch.id} failed: {words}", status=0, provider_code=code)))
        elif cause == "file_unseen" and shard.count_released("file_unseen", "file_gone") <= UNSEEN_TRIES:
            shared.say(f"the provider does not find the file of {shard.name} yet; trying again")
            self._start.file_unseen(shard, now)
        else:
            reject(shared, shard, batch.errors[0].code if batch.errors else "", words, rows=self._rows(shard, batch))

    def _rows(self, shard: ShardState, batch: Batch) -> list[dict[str, Any]]:
        """The rows that the provider complains of: line -> custom_id -> row id."""
        words = {error.line: error.message for error in batch.errors if error.line is not None}
        lines = sorted(words)[:SHOWN_ROWS]
        found = maps.lookup(self._shared.run.folder.map(shard.round), shard=shard.number, lines=lines) if lines else []
        return [
            {"line": row.line, "custom_id": row.custom_id, "row_id": row.row_id, "message": words[row.line]}
            for row in found
        ]

    def _judge_gone(self, call: Call, file: object) -> None:
        """A batch of ours answered 404 twice: with its file gone too we look at another project, or at nothing."""
        batch_id = call.key[1] if isinstance(call.key, tuple) else ""
        if batch_id not in self._gone:
            return
        if file is None:
            self._shared.halt(
                ProviderUntrusted(
                    f"the provider knows neither batch {batch_id} nor its file any more",
                    hint="use the key, project and address that the run was started with; if the provider has lost the "
                    "batch, `batchflow run SPEC --fresh` buys it again",
                )
            )
        elif clock.monotonic() - self._gone[batch_id].since > self._shared.patience:
            self._shared.halt(
                ProviderUntrusted(
                    f"the provider does not show batch {batch_id} any more, though it still has its file",
                    hint="ask the provider; if the batch is lost, `batchflow run SPEC --fresh` buys it again",
                )
            )
        else:
            self._shared.say(f"the provider does not show batch {batch_id} but still has its file; watching on")
            self._gone[batch_id] = replace(self._gone[batch_id], looks=0)

    def failed(self, call: Call, error: Failure, now: float) -> None:
        if call.key != POLL and isinstance(error, ProviderDoubt):
            self._shared.say(f"check of a missing batch: {error.message}; trying again")
            return
        self._shared.trouble(POLL, error, now, "look at the batches")

    def due(self, now: float) -> Iterator[float]:
        if any(True for _ in self._shared.shards(Phase.POLL)):
            yield max(self._shared.rhythm.due, self._shared.backoff(POLL).due)
            moments = (absence.since + self._shared.settings.settle for absence in self._gone.values())
            yield from (moment for moment in moments if moment > now)


def _failure(batch: Batch) -> tuple[Cause | None, str]:
    """Why a batch did nothing; None for one that runs, or ended with something to collect."""
    if batch.status != "failed" or batch.output_file_id or batch.error_file_id or batch.silent:
        return None, ""
    return why_failed(batch)


def _created(shard: ShardState) -> float | None:
    moments: Mapping[str, float] = {} if shard.batch is None else shard.batch.facts.get("moments", {})
    return moments.get("created_at")


def _changed(shard: ShardState, batch: Batch) -> bool:
    """Whether a look shows something worth recording: counts alone are not."""
    known = shard.batch
    if known is None or known.status != batch.status:
        return True
    facts = known.facts
    return (facts.get("output_file_id"), facts.get("error_file_id")) != (batch.output_file_id, batch.error_file_id)
