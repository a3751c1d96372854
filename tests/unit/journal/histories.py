"""Histories as a run could have them, with the phase that each shard must be in after every event."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batchflow.journal.events import Event
from batchflow.journal.state import Phase

PLACE = tuple[int, int]


def event(kind: str, place: PLACE = (0, 0), **payload: Any) -> Event:
    return Event(kind, payload, round=place[0], shard=place[1])


def header(run: str = "study-3f9c2a71") -> Event:
    return event("journal", version=1, run=run)


def writer(number: int = 1) -> Event:
    return event("writer", writer=f"w{number}", host="here", pid=number, boot="", batchflow="0.1.0")


def built(round_: int, shards: int) -> Event:
    entries = [{"shard": n, "requests": 10, "bytes": 100, "sha256": f"hash-{round_}-{n}"} for n in range(1, shards + 1)]
    return event("built", (round_, 0), requests=10 * shards, shards=entries)


def uploaded(place: PLACE, file_id: str = "file-1") -> Event:
    return event("uploaded", place, file_id=file_id, bytes=100, created_at=5.0)


def intent(place: PLACE, name: str = "i-1", file_id: str = "file-1") -> Event:
    return event("intent", place, intent=name, file_id=file_id)


def receipt(place: PLACE, name: str = "i-1", batch_id: str = "batch-1") -> Event:
    return event("receipt", place, intent=name, batch_id=batch_id, adopted=False)


def refused(place: PLACE, name: str = "i-1", message: str = "no") -> Event:
    return event("refused", place, intent=name, status=429, code="rate_limit_exceeded", message=message)


def batch(place: PLACE, batch_id: str = "batch-1", status: str = "completed", *, ended: bool = True) -> Event:
    ids = {"output_file_id": "out" if ended else None, "error_file_id": None}
    facts = {"errors": [], "moments": {"created_at": 1.5}, "counts": {"total": 10}, "tokens": {}}
    return event("batch", place, batch_id=batch_id, status=status, ended=ended, **ids, **facts)


def released(place: PLACE, batch_id: str = "batch-1", cause: str = "token_limit") -> Event:
    return event("released", place, batch_id=batch_id, cause=cause)


def rejected(place: PLACE) -> Event:
    return event("rejected", place, code="invalid_model", message="no such model", rows=[])


def collected(place: PLACE, batch_id: str = "batch-1", owed: int = 0) -> Event:
    account: dict[str, Any] = {"doubled": 0, "unknown": 0, "unreadable": 0, "out_of_money": 0}
    account |= {"final": {"answered": 10 - owed}, "owed": {"expired": owed} if owed else {}}
    return event("collected", place, batch_id=batch_id, files=[], account=account)


@dataclass
class Told:
    """What the teller knows of a shard, kept without the code under test."""

    phase: Phase = Phase.UPLOAD
    file: bool = False
    intents: int = 0
    batches: list[str] = field(default_factory=list)


class Teller:
    """Tells one history: an endless stream of events, each with the phases that must hold after it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.shards: dict[PLACE, Told] = {}
        self._round = 0
        self._count = 0

    def tell(self, events: int) -> Iterator[tuple[Event, dict[PLACE, Phase]]]:
        yield header(), {}
        yield self._build(), self._phases()
        for _ in range(events):
            yield self._next(), self._phases()

    def _phases(self) -> dict[PLACE, Phase]:
        return {place: told.phase for place, told in self.shards.items()}

    def _build(self) -> Event:
        self._round += 1
        count = self._random.randint(1, 4)
        self.shards |= {(self._round, number): Told() for number in range(1, count + 1)}
        return built(self._round, count)

    def _next(self) -> Event:
        self._count += 1
        roll = self._random.random()
        if roll < 0.06:
            for told in self.shards.values():
                if told.phase is Phase.REJECTED:
                    told.phase = Phase.START if told.file else Phase.UPLOAD
            return writer(self._count)
        if roll < 0.1:
            return event("loaded", database="results.duckdb", rows=self._count)
        moving = [place for place, told in self.shards.items() if told.phase not in {Phase.COLLECTED, Phase.REJECTED}]
        if not moving:
            rejections = any(told.phase is Phase.REJECTED for told in self.shards.values())
            return event("loaded", database="results.duckdb", rows=0) if rejections else self._build()
        place = self._random.choice(moving)
        return self._move(place, self.shards[place])

    def _move(self, place: PLACE, told: Told) -> Event:
        match told.phase:
            case Phase.UPLOAD:
                return self._upload(place, told)
            case Phase.START:
                told.phase, told.intents = Phase.DOUBT, told.intents + 1
                return intent(place, f"i-{place}-{told.intents}", f"file-{place}")
            case Phase.DOUBT:
                return self._settle(place, told)
            case Phase.POLL:
                return self._watch(place, told)
            case _:
                told.phase = Phase.COLLECTED
                return collected(place, told.batches[-1], owed=self._random.randint(0, 3))

    def _upload(self, place: PLACE, told: Told) -> Event:
        if self._random.random() < 0.1:
            told.phase = Phase.REJECTED
            return rejected(place)
        told.phase, told.file = Phase.START, True
        return uploaded(place, f"file-{place}")

    def _settle(self, place: PLACE, told: Told) -> Event:
        name = f"i-{place}-{told.intents}"
        roll = self._random.random()
        if roll < 0.6:
            told.phase = Phase.POLL
            told.batches.append(f"batch-{place}-{len(told.batches) + 1}")
            return receipt(place, name, told.batches[-1])
        told.phase = Phase.START
        return refused(place, name) if roll < 0.8 else event("absent", place, intent=name)

    def _watch(self, place: PLACE, told: Told) -> Event:
        batch_id = told.batches[-1]
        roll = self._random.random()
        if roll < 0.35:
            return batch(place, batch_id, "in_progress", ended=False)
        if roll < 0.6:
            told.phase = Phase.COLLECT
            return batch(place, batch_id, self._random.choice(["completed", "expired", "cancelled"]))
        if roll < 0.75:
            told.phase = Phase.REJECTED
            return rejected(place)
        cause = self._random.choice(["token_limit", "no_money", "file_unseen", "file_gone"])
        told.file = cause != "file_gone"
        told.phase = Phase.START if told.file else Phase.UPLOAD
        return released(place, batch_id, cause)
