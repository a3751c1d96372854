"""What the lanes of the engine share: a lane proposes calls, and judges what came of them, in the main thread."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from batchflow.cost.book import PriceBook
from batchflow.engine.budget import Budget
from batchflow.engine.pacing import Backoff, PollRhythm, QueueGate, scale_of
from batchflow.engine.run import OpenRun
from batchflow.errors import BatchflowError, ProviderDoubt, ProviderError, ProviderRefused
from batchflow.journal.events import Event
from batchflow.journal.state import Phase, ShardState
from batchflow.providers.base import KNOWN, Batch, BatchProvider
from batchflow.steps.base import StepName

Failure = ProviderRefused | ProviderDoubt
PATIENCE = 1800.0
MANY = 6  # failures of one kind of call, after which a person might want to look


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command may choose anew for a run that exists: none of it shapes requests.

    prices: what answers cost, None where that is not counted. interval, settle and stalled_after are seconds; until
    is the last step to do; wait says whether to stay until everything is done; buys whether new batches may be made
    (not in a cancelled run, whose open ones are ended). expires_after: seconds for which the provider is told to keep
    files; None: it is told nothing.
    """

    interval: float
    settle: float
    batches_in_flight: int
    max_rounds: int
    requests_per_batch: int
    bytes_per_batch: int
    until: StepName = StepName.LOAD
    wait: bool = True
    buys: bool = True
    stalled_after: float = 93_600.0
    prices: PriceBook | None = None
    budget: Budget | None = None
    expires_after: int | None = None

    def reaches(self, step: StepName) -> bool:
        order = list(StepName)
        return order.index(step) <= order.index(self.until)

    @property
    def continues(self) -> bool:
        """Whether a round may follow on a round."""
        return self.buys and self.until is StepName.LOAD

    def sends(self, step: StepName) -> bool:
        """Whether a step that leads to a new batch is to be done."""
        return self.buys and self.reaches(step)


@dataclass(slots=True)
class Shared:
    """What all lanes of one run see. `say` shows a line to the user; a repeated one is shown once."""

    run: OpenRun
    provider: BatchProvider
    settings: Settings
    say: Callable[[str], None]
    stop: BatchflowError | None = None  # no new call; raised when those in flight have ended
    rejection: BatchflowError | None = None  # no new batch; raised when the running ones have ended
    lost: int = 0  # result files that the provider has lost since this process began
    out_of_money: int = 0  # rows that failed since this process began because the account ran dry
    gate: QueueGate = field(init=False)
    rhythm: PollRhythm = field(init=False)
    scale: float = field(init=False)
    _backoffs: dict[Hashable, Backoff] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scale = scale_of(self.settings.interval)
        self.rhythm = PollRhythm(self.settings.interval)
        shards = list(self.run.state.shards())
        full = any(shard.count_released("token_limit") for shard in shards if shard.collected is None)
        self.gate = QueueGate(self.scale, len(shards), closed=full, room=self.open_batches())

    def shards(self, *phases: Phase) -> Iterator[ShardState]:
        """The newest round's shards that are in one of these phases."""
        return (shard for shard in self.run.state.shards(self.run.state.round) if shard.phase in phases)

    def open_batches(self) -> int:
        """Batches of ours that the provider works on, or may work on."""
        return sum(1 for _ in self.shards(Phase.POLL, Phase.DOUBT))

    @property
    def patience(self) -> float:
        """Seconds to wait for what is paid for and does not show: half an hour, scaled like every wait."""
        return max(PATIENCE * self.scale, 3 * self.settings.settle)

    def backoff(self, key: Hashable) -> Backoff:
        return self._backoffs.setdefault(key, Backoff(self.scale))

    def halt(self, error: BatchflowError) -> None:
        """Make no new call; the first reason is the one that is told."""
        self.stop = self.stop or error

    def wonder(self, batch: Batch) -> None:
        """Say so where a status is none that we know: it is watched like any that has not ended."""
        if batch.status not in KNOWN:
            self.say(f"the provider shows an unknown status for {batch.id}: {batch.status}; watching on")

    def affordable(self, shard: ShardState) -> bool:
        """Whether the budget allows to send a shard now. What is at the provider may turn out cheaper than it could
        be: only where nothing is, a no is the last word.
        """
        refusal = None if self.settings.budget is None else self.settings.budget.refusal(self.run.state, shard)
        if refusal is not None and not any(True for _ in self.run.state.in_flight()):
            self.rejection = self.rejection or refusal
        return refusal is None

    def trouble(self, key: Hashable, error: Failure, now: float, doing: str) -> None:
        """A call failed that may be made again: wait, or stop where only a person can help."""
        if isinstance(error, ProviderRefused) and error.needs_human:
            self.halt(for_a_human(error))
            return
        backoff = self.backoff(key)
        backoff.fail(now, error.retry_after)
        self.say(f"{doing}: {error.message}; trying again")
        if backoff.failures == MANY:
            self.say(
                f"{doing}: {MANY} tries in vain. Stop this and look at the address if it may be wrong: nothing is lost"
            )

    def next_due(self, keys: Iterator[Hashable], now: float) -> Iterator[float]:
        """The moments at which backed-off keys may be tried again."""
        return (due for key in keys if (due := self.backoff(key).due) > now)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a lane wants made on an HTTP thread. subject is what it is about, for the lane that judges it."""

    key: Hashable
    call: Callable[[], Any]
    subject: Any = None


class Lane(Protocol):
    """One kind of work of the engine."""

    def calls(self, now: float) -> Iterator[Call]:
        """Calls that should be made now; a call under a busy key is not made."""

    def succeeded(self, call: Call, result: Any, now: float) -> None:
        """Judge a call's result: record events."""

    def failed(self, call: Call, error: Failure, now: float) -> None:
        """Judge a call that failed."""

    def due(self, now: float) -> Iterator[float]:
        """Moments at which this lane wants to be asked again, beyond what running calls bring."""


def event(shard: ShardState, step: StepName, kind: str, **payload: Any) -> Event:
    """An event about a shard."""
    return Event(kind, payload, step=step, round=shard.round, shard=shard.number)


def batch_event(shard: ShardState, batch: Batch) -> Event:
    """What the provider shows of a batch, as far as it is worth remembering."""
    return event(
        shard,
        StepName.POLL,
        "batch",
        batch_id=batch.id,
        status=batch.status,
        ended=batch.ended and not batch.silent,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        errors=[{"code": e.code, "message": e.message, "line": e.line} for e in batch.errors[:REMEMBERED_ERRORS]],
        moments=dict(batch.moments),
        counts=dict(batch.counts),
        tokens=dict(batch.tokens),
    )


REMEMBERED_ERRORS = 50


def for_a_human(error: ProviderRefused) -> ProviderError:
    """A refusal that no waiting mends, with what a person can do about it."""
    if error.status in {401, 403}:
        hint = "check the key, its project and its rights, then run the same command again"
    else:
        hint = "the provider's account has no money or quota left: see to it, then run the same command again"
    return ProviderRefused(
        error.message,
        status=error.status,
        provider_code=error.provider_code,
        provider_message=error.provider_message,
        hint=hint,
    )
