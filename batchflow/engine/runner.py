"""The loop that carries a run through its rounds: propose calls, make them, judge what came back."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from batchflow import clock, failpoints
from batchflow.engine.cancelling import CancelLane
from batchflow.engine.deleting import DeleteLane
from batchflow.engine.fetching import CollectLane
from batchflow.engine.lanes import Call, Lane, Shared, for_a_human
from batchflow.engine.loading import LoadLane
from batchflow.engine.pool import Done, HttpPool
from batchflow.engine.recovery import RecoveryLane
from batchflow.engine.sending import StartLane, UploadLane
from batchflow.engine.watching import PollLane
from batchflow.errors import BatchflowError, Interrupted, ProviderDoubt, ProviderRefused
from batchflow.journal.state import Phase, RunState
from batchflow.steps.base import StepName
from batchflow.steps.load import Loader
from batchflow.steps.rounds import Limits, build_next
from batchflow.steps.summary import State, may_continue, owed_now, state_of

GRACE: Final = 10.0  # seconds that calls in flight get after a signal
DOUBT_GRACE: Final = 60.0  # seconds beyond settling that --no-wait stays for a create whose fate is unknown
LONGEST_SLEEP: Final = 1.0  # so that signals and progress are never far


class Ending(StrEnum):
    """How a drive ended."""

    ENDED = "ended"  # nothing is left that may be done
    PAUSED = "paused"  # --no-wait or --until


class Watcher(Protocol):
    """Whoever shows progress."""

    def progress(self, state: RunState) -> None:
        """Called at every turn of the loop; must be cheap."""


@dataclass(slots=True)
class Signals:
    """Set by the command line's signal handler, read by the loop."""

    name: str = ""


class Runner:
    def __init__(self, shared: Shared, loader: Loader, watcher: Watcher, signals: Signals) -> None:
        self._shared = shared
        self._watcher = watcher
        self._signals = signals
        self._pool = HttpPool()
        self._began = clock.monotonic()
        self._calls: dict[object, tuple[Lane, Call]] = {}
        start = StartLane(shared)
        self._load = LoadLane(shared, loader)
        self._cancel = CancelLane(shared)
        self._lanes: tuple[Lane, ...] = (
            RecoveryLane(shared, start),
            self._cancel,
            PollLane(shared, start),
            CollectLane(shared),
            start,
            UploadLane(shared),
        )

    def drive(self) -> Ending:
        """Advance until the run has ended or may not go further.

        Raises the error that stopped it; whatever happens, the journal tells the next process where to go on.
        """
        while True:
            self._stop_if_told()
            self._load.tick(clock.monotonic())
            now = clock.monotonic()
            idle = not self._propose(now) and not self._pool.busy
            if idle and self._round_over():
                if not self._next_round():
                    return self._finish()
                continue
            if idle and self._resting():
                return Ending.PAUSED
            self._watcher.progress(self._shared.run.state)
            for done in self._pool.wait(self._sleep(now)):
                self._judge(done)

    def tidy(self) -> None:
        """Delete at the provider what the run has left there. It must have ended, and be loaded; what cannot be deleted
        is recorded, not raised.
        """
        lane = DeleteLane(self._shared)
        self._lanes = (lane,)
        while not lane.over:
            self._stop_if_told()
            now = clock.monotonic()
            self._propose(now)
            for done in self._pool.wait(self._sleep(now)):
                self._judge(done)
        lane.close()

    def _round_over(self) -> bool:
        """Nothing of the newest round is at the provider, and nothing more of it may be sent."""
        if not self._shared.settings.reaches(StepName.COLLECT):
            return False
        due = set(Phase) - {Phase.COLLECTED, Phase.REJECTED}
        if self._shared.rejection is not None or not self._shared.settings.buys:
            due -= {Phase.UPLOAD, Phase.START}
        return not any(True for _ in self._shared.shards(*due))

    def _next_round(self) -> bool:
        """Build the next round if something is owed and may be asked again; False if this was the last."""
        shared = self._shared
        if shared.rejection is not None or shared.out_of_money or not shared.settings.continues:
            return False
        if shared.lost:  # answers that were paid for are not bought again unasked
            shared.say("the provider lost answers; run the same command again to ask for them once more")
            return False
        state = shared.run.state
        if state_of(state) is not State.PARTIAL or not may_continue(state, shared.settings.max_rounds):
            return False
        owed = owed_now(state)
        limits = Limits(shared.settings.requests_per_batch, shared.settings.bytes_per_batch)
        shared.run.record([build_next(shared.run.folder, state, limits)])
        requests = "1 request again that has" if owed == 1 else f"{owed} requests again that have"
        shared.say(f"round {state.round}: asking {requests} no final outcome yet")
        return True

    def _resting(self) -> bool:
        """Whether this command has done its part: --until is reached, or --no-wait has nothing to do at once."""
        until, shards = self._shared.settings.until, self._shared.shards
        if not self._shared.settings.wait:
            # a doubt is settled by two looks, so that calls that never wait get out of it
            patient = clock.monotonic() - self._began < 2 * self._shared.settings.settle + DOUBT_GRACE
            return not (patient and (self._cancel.pending or any(True for _ in shards(Phase.DOUBT))))
        before = {
            StepName.UPLOAD: {Phase.UPLOAD, Phase.DOUBT},
            StepName.START: {Phase.UPLOAD, Phase.START, Phase.DOUBT},
            StepName.POLL: {Phase.UPLOAD, Phase.START, Phase.DOUBT, Phase.POLL},
        }
        return until in before and not any(True for _ in shards(*before[until]))

    def _finish(self) -> Ending:
        """The end of a run, or of what --until asked for: load, then say what stands in the way, if anything."""
        shared = self._shared
        if shared.settings.until is StepName.LOAD:
            self._load.finish(self._stop_if_told)
        failpoints.hit("run.before-finish")
        if shared.rejection is not None:
            raise shared.rejection
        if shared.out_of_money and shared.settings.buys:
            raise for_a_human(ProviderRefused(f"{shared.out_of_money} rows failed: no money or quota left", status=429))
        return Ending.ENDED if shared.settings.until is StepName.LOAD else Ending.PAUSED

    def _propose(self, now: float) -> int:
        """Hand every call that is due to the pool; returns how many."""
        proposed = 0
        for lane in self._lanes:
            for call in lane.calls(now):
                if call.key not in self._pool.busy:
                    self._calls[call.key] = (lane, call)
                    self._pool.submit(call.key, call.call)
                    proposed += 1
        return proposed

    def _judge(self, done: Done) -> None:
        lane, call = self._calls.pop(done.key)
        now = clock.monotonic()
        if done.error is None:
            lane.succeeded(call, done.result, now)
        elif isinstance(done.error, ProviderRefused | ProviderDoubt):
            lane.failed(call, done.error, now)
        elif isinstance(done.error, BatchflowError):
            self._shared.halt(done.error)
        else:
            raise done.error

    def _sleep(self, looked: float) -> float:
        """Seconds until something is due that was not at the last look: what was already waits for a running call."""
        due = [moment for lane in self._lanes for moment in lane.due(looked) if moment > looked]
        due += self._load.due(looked)
        return min(LONGEST_SLEEP, max(0.0, min(due, default=looked + LONGEST_SLEEP) - clock.monotonic()))

    def _stop_if_told(self) -> None:
        """After a signal or an error that ends the run: no new call, some time for those in flight, then out."""
        if self._signals.name:
            self._shared.halt(
                Interrupted(f"stopped by {self._signals.name}", hint="run the same command again to go on from here")
            )
        if self._shared.stop is None:
            return
        deadline = clock.monotonic() + GRACE
        while self._pool.busy and clock.monotonic() < deadline:
            for done in self._pool.wait(deadline - clock.monotonic()):
                self._judge(done)
        raise self._shared.stop
