"""The lane of doubt: intents whose call may have happened are settled here, and nowhere is a batch created for them.

Walks of the provider's list are shared by all open intents. Crash windows: `recovery.before-adopt` and
`recovery.before-absent` (the doubt stays as it was; the next process looks again).
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, assert_never

from batchflow import failpoints
from batchflow.engine.lanes import Call, Failure, Shared, event
from batchflow.engine.sending import TOO_MANY_REQUESTS, StartLane, adopt
from batchflow.errors import ProviderRefused, ProviderUntrusted
from batchflow.journal.state import Phase, ShardState
from batchflow.providers.base import Batch, RemoteFile
from batchflow.steps.base import Absent, Evidence, Found, StepName, Unsure
from batchflow.steps.listing import Walk, walk
from batchflow.steps.start import SLACK, Start

WALK = "walk"
HOPELESS_LOOKS = 2
VAIN_LOOKS = 10
MOST_REFUSALS = 8


@dataclass(slots=True)
class Case:
    """What this process has found out about one open intent."""

    intent: str
    checked: bool = False  # the input file was asked for since the last walk
    file: RemoteFile | None = None
    walks: list[Walk] = field(default_factory=list)
    hopeless: int = 0
    vain: int = 0  # walks that could not show everything

    def add(self, found: Walk) -> None:
        """Keep the first complete walk, from which settling counts, and the newest one."""
        first = next((walk for walk in self.walks if walk.complete), None)
        self.walks = [walk for walk in (first, found) if walk is not None]


class RecoveryLane:
    def __init__(self, shared: Shared, start: StartLane) -> None:
        self._shared = shared
        self._start = start
        self._step = Start(shared.provider, shared.run.check_writer)
        self._refusals = 0
        self._cases: dict[str, Case] = {}
        self._next_walk = 0.0

    def calls(self, now: float) -> Iterator[Call]:
        open_ = self._open()
        if not open_ or self._shared.backoff(WALK).due > now or self._next_walk > now:
            return
        unchecked = [(shard, case) for shard, case in open_ if not case.checked]
        for shard, case in unchecked:
            yield Call(("input", shard.name), lambda shard=shard: self._input(shard), (shard, case))  # type: ignore[misc]
        if not unchecked:
            horizon, known = self._horizon(open_), self._shared.run.state.batch_ids()
            yield Call(WALK, lambda: self._look(horizon, known), open_)

    def _look(self, horizon: float | None, known: frozenset[str]) -> Walk:
        """A walk whose every batch tells its file or metadata: where the list only summarises, each is asked for."""
        found = walk(self._shared.provider, horizon=horizon)
        return found._replace(batches=tuple(self._told(batch, known) for batch in found.batches))

    def _told(self, batch: Batch, known: frozenset[str]) -> Batch:
        if batch.id in known or batch.input_file_id or batch.metadata:
            return batch
        return self._shared.provider.find_batch(batch.id) or batch

    def _open(self) -> list[tuple[ShardState, Case]]:
        """The shards in doubt whose call does not run in this process any more."""
        found = []
        for shard in self._shared.shards(Phase.DOUBT):
            intent = shard.open_intent
            if intent is not None and shard.name not in self._start.performing:
                case = self._cases.get(shard.name)
                if case is None or case.intent != intent.intent:
                    case = self._cases[shard.name] = Case(intent.intent)
                found.append((shard, case))
        return found

    def _input(self, shard: ShardState) -> RemoteFile | None:
        intent = shard.open_intent
        return None if intent is None else self._shared.provider.find_file(intent.file_id)

    def _horizon(self, open_: list[tuple[ShardState, Case]]) -> float | None:
        """How far down a walk must go: the oldest input file less an hour, by the server's own clock."""
        times = [case.file.created_at if case.file is not None else None for _, case in open_]
        known = [time for time in times if time is not None]
        told = [shard.file_created_at for shard, _ in open_ if shard.file_created_at is not None]
        return min(known + told) - SLACK if len(known) == len(times) else None

    def succeeded(self, call: Call, result: Any, now: float) -> None:
        self._shared.backoff(WALK).succeed()
        if call.key != WALK:
            _, case = call.subject
            case.file, case.checked = result, True
            return
        self._next_walk = now + self._shared.settings.settle
        for shard, case in call.subject:
            case.add(result)
            case.checked = False
            self._settle(shard, case)

    def _settle(self, shard: ShardState, case: Case) -> None:
        shared = self._shared
        intent = shard.open_intent
        if intent is None or intent.intent != case.intent:
            return
        known = shared.run.state.batch_ids()
        evidence = Evidence(intent.intent, intent.file_id, case.file, tuple(case.walks), known, shared.settings.settle)
        match self._step.reconcile(evidence):
            case Found(batch):
                failpoints.hit("recovery.before-adopt")
                adopt(shared, shard, batch, adopted=True)
                shared.say(f"{shard.name}: found its batch {batch.id} again; nothing was bought twice")
            case Absent():
                failpoints.hit("recovery.before-absent")
                shared.run.record([event(shard, StepName.START, "absent", intent=intent.intent)])
            case Unsure(reason, hopeless):
                self._wait(shard, case, reason, hopeless=hopeless)
            case other:
                assert_never(other)

    def _wait(self, shard: ShardState, case: Case, reason: str, *, hopeless: bool) -> None:
        """Come back later, and never create; where waiting cannot help, stop."""
        case.vain += not case.walks[-1].complete
        case.hopeless = case.hopeless + 1 if hopeless or case.vain > VAIN_LOOKS else 0
        if case.hopeless >= HOPELESS_LOOKS:
            self._shared.halt(
                ProviderUntrusted(
                    f"it cannot be told whether the batch of {shard.name} was created: {reason}",
                    hint="nothing more was created. Run again with the key, project and address the run was started "
                    "with; the provider's console shows which batches exist",
                )
            )
        else:
            self._shared.say(f"{shard.name}: {reason}; looking again")

    def failed(self, call: Call, error: Failure, now: float) -> None:
        del call
        refused = isinstance(error, ProviderRefused) and error.status != TOO_MANY_REQUESTS
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals >= MOST_REFUSALS:
            self._shared.halt(
                ProviderUntrusted(
                    f"it cannot be told whether a batch was created: the list is refused: {error.message}",
                    hint="nothing more was created; the provider's console shows which batches exist",
                )
            )
        self._shared.trouble(WALK, error, now, "look for a batch that may have been created")

    def due(self, now: float) -> Iterator[float]:
        if self._open():
            keys: list[Hashable] = [WALK]
            yield from self._shared.next_due(iter(keys), now)
            if self._next_walk > now:
                yield self._next_walk
