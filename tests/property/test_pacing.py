"""Waits stay within their bounds; behind a full queue every shard gets in, and few creates are made in vain."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf

from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchflow.engine.pacing import (
    HOPELESS_REFUSALS,
    JITTER,
    LEAST,
    QUEUE_LADDER,
    Backoff,
    PollRhythm,
    QueueGate,
    jittered,
    scale_of,
)

quick = settings(max_examples=100, deadline=None)
AT_ONCE = 10  # limits.batches_in_flight
POLL = 30.0


@given(st.floats(0.001, 10_000))
@quick
def test_jitter_and_scale(seconds: float) -> None:
    assert seconds * (1 - JITTER) <= jittered(seconds) <= seconds * (1 + JITTER)
    assert 0 < scale_of(seconds) <= 1
    assert (scale_of(seconds) == 1) == (seconds >= 60)


@quick
@given(st.floats(0.01, 1), st.floats(0.1, 5), st.floats(5, 600), st.lists(st.none() | st.floats(0, 4000), max_size=40))
def test_a_back_off_doubles_up_to_its_longest_and_never_undercuts_what_the_provider_asked_for(
    scale: float, first: float, longest: float, told: list[float | None]
) -> None:
    backoff, now = Backoff(scale, first, longest), 1000.0
    for failures, retry_after in enumerate(told):
        backoff.fail(now, retry_after)
        wait = (backoff.due - now) / scale
        own = min(first * 2**failures, longest)
        assert wait >= max(own * (1 - JITTER), retry_after or 0) - 1e-6
        assert wait <= max(own * (1 + JITTER), retry_after or 0) + 1e-6
        assert backoff.failures == failures + 1
        now = backoff.due
    backoff.succeed()
    assert (backoff.failures, backoff.due) == (0, 0.0)


def test_a_night_without_a_network_is_no_arithmetic_problem() -> None:
    backoff = Backoff(1.0)
    for _ in range(3000):
        backoff.fail(0.0)
    assert backoff.due <= backoff.longest * (1 + JITTER)


@quick
@given(st.floats(0.05, 600), st.lists(st.booleans(), max_size=40))
def test_polling_is_never_slower_than_the_interval_nor_faster_than_a_thirtieth(
    interval: float, changes: list[bool]
) -> None:
    rhythm, now = PollRhythm(interval), 50.0
    waits = []
    for changed in changes:
        rhythm.looked(now, changed=changed)
        waits.append(rhythm.due - now)
        now = rhythm.due
    shortest = min(max(interval / 30, LEAST), interval)
    assert all(shortest * (1 - JITTER) * 0.999 <= wait <= interval * 1.001 for wait in waits)
    for changed, wait in zip(changes, waits, strict=True):
        assert not changed or wait <= shortest * (1 + JITTER) * 1.001
    if len(changes) > 8 and not any(changes[-7:]):
        assert waits[-1] >= interval * (1 - JITTER) * 0.999
    rhythm.hurry(now)
    assert rhythm.due <= now + shortest * 1.001


@dataclass
class Job:
    """A batch at the fake provider; judged is the moment at which its validation ends."""

    shard: str
    judged: float
    length: float
    state: str = "validating"
    ends: float = inf


@dataclass
class FakeQueue:
    """A provider whose queue holds `room` batches less those of other people, and a shard too large for it.

    Drives a gate as the engine does: one look every POLL seconds, creates as far as the gate allows.
    """

    gate: QueueGate
    waiting: list[str]
    room: int
    lengths: Iterator[float]
    foreign: Callable[[float], int] = lambda _: 0
    too_large: str = ""
    validation: float = 20.0
    creates: int = 0
    now: float = 0.0
    open: list[Job] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    hopeless: list[str] = field(default_factory=list)

    def run(self, *, until: float) -> None:
        while self.now < until and (self.waiting or self.open):
            self._create()
            self.now += POLL
            self._advance()

    def _create(self) -> None:
        while self.waiting and len(self.open) < AT_ONCE:
            unproven = sum(job.state == "validating" for job in self.open)
            if not self.gate.may_create(self.now, open_=len(self.open), unproven=unproven):
                return
            assert not (self.gate.closed and unproven), "two creates at a time before a full queue"
            self.creates += 1
            shard = self.waiting.pop(0)
            self.open.append(Job(shard, self.now + self.validation, next(self.lengths)))

    def _advance(self) -> None:
        """What happened since the last look, told to the gate together, as one look of the engine tells it."""
        events = [(job.judged, job) for job in self.open if job.state == "validating" and job.judged <= self.now]
        refused, proven = [], 0
        for moment, job in sorted(events, key=lambda event: event[0]):
            held = sum(other.state == "running" and other.ends > moment for other in self.open)
            if job.shard != self.too_large and held + self.foreign(moment) < self.room:
                job.state, job.ends, proven = "running", moment + job.length, proven + 1
            else:
                refused.append(job)
        finished = [job for job in self.open if job.state == "running" and job.ends <= self.now]
        self.ended += [job.shard for job in finished]
        self.open = [job for job in self.open if job not in finished and job not in refused]
        self.waiting = [job.shard for job in refused] + self.waiting
        for job in refused:
            if self.gate.refused(job.shard, self.now, open_=len(self.open)):
                self.hopeless.append(job.shard)
                self.waiting.remove(job.shard)
        if proven:
            self.gate.accepted(self.now, open_=len(self.open))


def queue(shards: int, room: int, lengths: Iterator[float], **settings_: object) -> FakeQueue:
    names = [f"r1-{number:05d}" for number in range(1, shards + 1)]
    return FakeQueue(QueueGate(1.0, shards), names, room, lengths, **settings_)  # type: ignore[arg-type]


def dice(data: st.DataObject, shortest: float = 1.0) -> Iterator[float]:
    # dice of its own: how often it is thrown depends on the gate's jitter, which hypothesis cannot repeat
    seed = random.Random(data.draw(st.integers(0, 2**32)))
    while True:
        yield seed.uniform(shortest, seed.choice([60.0, 3_000.0, 40_000.0]))


LONG = 90 * 24 * 3600.0


@quick
@given(st.integers(1, 60), st.integers(1, 15), st.data())
def test_every_shard_gets_into_a_queue_of_its_own_with_few_creates_in_vain(
    shards: int, room: int, data: st.DataObject
) -> None:
    fake = queue(shards, room, dice(data))
    fake.run(until=LONG)
    assert len(fake.ended) == shards
    assert fake.hopeless == []
    assert fake.creates < 2 * shards + 10


@quick
@given(st.integers(1, 60), st.integers(1, 15), st.data())
def test_every_shard_gets_into_a_queue_shared_with_other_people(shards: int, room: int, data: st.DataObject) -> None:
    shift = data.draw(st.lists(st.integers(0, room - 1), min_size=1, max_size=40))
    period = data.draw(st.sampled_from([600.0, 3_600.0, 20_000.0]))
    fake = queue(shards, room, dice(data), foreign=lambda moment: shift[int(moment / period) % len(shift)])
    fake.run(until=LONG)
    assert len(fake.ended) == shards
    assert fake.hopeless == []
    assert fake.creates < 2 * shards + 10


@quick
@given(st.integers(1, 30), st.integers(1, 4), st.data())
def test_a_queue_that_others_fill_for_a_quarter_of_an_hour_is_waited_for(
    shards: int, room: int, data: st.DataObject
) -> None:
    until = data.draw(st.floats(0, 900))
    fake = queue(shards, room, dice(data), foreign=lambda moment: room if moment < until else 0)
    fake.run(until=LONG)
    assert len(fake.ended) == shards
    assert fake.creates < 2 * shards + 10 + len(QUEUE_LADDER)


@quick
@given(st.integers(1, 20), st.integers(1, 5), st.data())
def test_a_shard_that_can_never_fit_is_told_and_no_other(shards: int, room: int, data: st.DataObject) -> None:
    fake = queue(shards, room, dice(data))
    fake.too_large = data.draw(st.sampled_from(fake.waiting))
    fake.run(until=LONG)
    assert fake.hopeless == [fake.too_large]
    assert len(fake.ended) == shards - 1


def test_a_shard_is_hopeless_only_after_the_longest_wait_twice_and_alone() -> None:
    gate, now, told = QueueGate(1.0, 3), 0.0, []
    for _ in range(len(QUEUE_LADDER) + HOPELESS_REFUSALS):
        assert gate.may_create(now, open_=0, unproven=0)
        told.append(gate.refused("r1-00001", now, open_=0))
        assert not gate.may_create(now, open_=0, unproven=0)
        wait = gate.due - now
        assert QUEUE_LADDER[0] * (1 - JITTER) <= wait <= QUEUE_LADDER[-1] * (1 + JITTER)
        now = gate.due
    assert told == [False] * (len(told) - 1) + [True]
    busy = QueueGate(1.0, 3)
    assert not any(busy.refused("r1-00001", 0.0, open_=1) for _ in range(50))


@example(0)
@given(st.integers(0, 20))
@quick
def test_an_open_gate_lets_everything_through(open_: int) -> None:
    gate = QueueGate(1.0, 20)
    assert gate.may_create(0.0, open_=open_, unproven=open_)
    gate.accepted(0.0, open_=open_)
    assert gate.due == 0.0
    assert not gate.closed


def test_waits_in_front_of_the_gate_are_scaled() -> None:
    gate = QueueGate(0.01, 5)
    gate.refused("r1-00001", 100.0, open_=0)
    assert 100 < gate.due <= 100 + QUEUE_LADDER[0] * (1 + JITTER) * 0.01
