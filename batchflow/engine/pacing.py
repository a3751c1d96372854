"""When to do the next thing: back-off with jitter, the rhythm of polling, and the gate in front of a full queue.

Moments are monotonic seconds. Every wait but settling is scaled by min(1, polling.interval / 60 s).
"""

import random
from dataclasses import dataclass, field
from typing import Final

MINUTE: Final = 60.0
JITTER: Final = 0.2
LEAST: Final = 0.1  # between two looks, where the interval allows it
QUEUE_LADDER: Final = (60.0, 120.0, 300.0, 600.0)
HOPELESS_REFUSALS: Final = 2
MOST_DOUBLINGS: Final = 60  # a night without a network has thousands of failures

_random = random.Random()  # noqa: S311 - spreads load, guards nothing


def jittered(seconds: float) -> float:
    return seconds * _random.uniform(1 - JITTER, 1 + JITTER)


def scale_of(interval: float) -> float:
    """How much shorter waits are where the user polls more often than once a minute."""
    return min(1.0, interval / MINUTE)


@dataclass(slots=True)
class Backoff:
    """Doubling waits for one thing that fails; `due` is the moment of its next try."""

    scale: float
    first: float = 1.0
    longest: float = MINUTE
    failures: int = 0
    due: float = 0.0

    def fail(self, now: float, retry_after: float | None = None) -> None:
        wait = min(self.first * 2.0 ** min(self.failures, MOST_DOUBLINGS), self.longest)
        self.failures += 1
        self.due = now + max(jittered(wait), retry_after or 0.0) * self.scale

    def succeed(self) -> None:
        self.failures, self.due = 0, 0.0


@dataclass(slots=True)
class PollRhythm:
    """Looks often after a change, then ever more seldom, up to the interval."""

    interval: float
    due: float = 0.0
    _wait: float = 0.0

    @property
    def _shortest(self) -> float:
        return min(max(self.interval / 30, LEAST), self.interval)

    def looked(self, now: float, *, changed: bool) -> None:
        self._wait = self._shortest if changed or not self._wait else min(self._wait * 2, self.interval)
        self.due = now + min(jittered(self._wait), self.interval)

    def hurry(self, now: float) -> None:
        """Something was just started: look soon."""
        self._wait = self._shortest
        self.due = min(self.due, now + self._wait)


@dataclass(slots=True)
class QueueGate:
    """One gate for all shards while the provider's queue is full (`token_limit_exceeded`).

    Closed by a refusal. Then one create at a time: when a batch of ours has ended, or when the back-off has passed; if
    that one is accepted the next may follow. `room` is how many of ours the queue was last seen to hold. While some of
    ours are open, guessing by time is limited to one refusal for each shard. So N shards need fewer than 2 N + 10
    creates, unless others take each place in the queue that one of ours leaves.
    """

    scale: float
    shards: int
    closed: bool = False
    room: int = 0
    refusals: int = 0
    _rung: int = 0
    _due: float = 0.0
    _alone: dict[str, int] = field(default_factory=dict)

    def may_create(self, now: float, *, open_: int, unproven: int) -> bool:
        """open_ counts batches of ours that have not ended, unproven those of them not yet past validation."""
        if not self.closed:
            return True
        if unproven:
            return False
        if open_ < self.room:
            return True
        return now >= self._due and (open_ == 0 or self.refusals < self.shards)

    def refused(self, shard: str, now: float, *, open_: int) -> bool:
        """The queue was full for this shard; True if it cannot ever fit: it was refused twice after the longest wait
        with nothing of ours in the queue.
        """
        after_longest = self._rung >= len(QUEUE_LADDER)
        self.closed, self.room = True, open_
        self.refusals += 1
        self._due = now + jittered(QUEUE_LADDER[min(self._rung, len(QUEUE_LADDER) - 1)]) * self.scale
        self._rung += 1
        if after_longest and open_ == 0:
            self._alone[shard] = self._alone.get(shard, 0) + 1
        return self._alone.get(shard, 0) >= HOPELESS_REFUSALS

    def accepted(self, now: float, *, open_: int) -> None:
        """A batch of ours got past validation."""
        if self.closed:
            self._rung = 0
            self._due = now + jittered(QUEUE_LADDER[0]) * self.scale
            if open_ > self.room:
                self.room = open_ + 1

    @property
    def due(self) -> float:
        """The moment at which guessing is allowed again; 0 while the gate is open."""
        return self._due if self.closed else 0.0
