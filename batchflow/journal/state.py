"""What a run's events add up to. Always folded anew from the journal, never stored."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from batchflow.journal.events import Event
from batchflow.plan.shards import shard_name


class Phase(StrEnum):
    """Where a shard stands; each phase names the step that is due."""

    UPLOAD = "upload"
    START = "start"
    DOUBT = "doubt"  # an intent is open: it must be reconciled before anything is created
    POLL = "poll"
    COLLECT = "collect"
    COLLECTED = "collected"
    REJECTED = "rejected"


IN_FLIGHT = frozenset({Phase.DOUBT, Phase.POLL, Phase.COLLECT})  # the provider has it, or may have it


@dataclass(slots=True)
class BatchState:
    """A batch of ours as the provider last showed it."""

    batch_id: str
    status: str = "created"
    ended: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)  # the payload of its last `batch` event
    seen: str = ""  # time of that event
    released: str = ""  # why it did nothing, where its shard may be sent again
    expires_after: int | None = None  # seconds for which its answers were to be kept, where that was asked for


@dataclass(slots=True)
class Intent:
    """A batch was about to be created: closed by a receipt, a refusal, or the knowledge that it never happened."""

    intent: str
    file_id: str
    closed: bool = False
    expires_after: int | None = None


@dataclass(slots=True)
class ShardState:
    """One request file of one round, and all that happened to it. lines: what is sent; fewer than the requests where
    one line answers several. again: requests that have a final outcome already, and keep it until they have a new one.
    file_expiry: what was asked, and told, of how long its file is kept. ended_by_cancel: its batch was open when the
    run was cancelled.
    """

    round: int
    number: int
    requests: int
    bytes: int
    sha256: str
    lines: int = 0
    again: int = 0
    file_id: str = ""
    file_created_at: float | None = None
    file_expiry: Mapping[str, Any] | None = None
    intents: list[Intent] = field(default_factory=list)
    batches: list[BatchState] = field(default_factory=list)
    rejected: Mapping[str, Any] | None = None
    collected: Mapping[str, Any] | None = None
    ended_by_cancel: bool = False

    @property
    def name(self) -> str:
        return shard_name(self.round, self.number)

    @property
    def open_intent(self) -> Intent | None:
        return next((intent for intent in self.intents if not intent.closed), None)

    @property
    def batch(self) -> BatchState | None:
        """The batch that works on this shard, or worked on it for good."""
        return next((batch for batch in reversed(self.batches) if not batch.released), None)

    @property
    def phase(self) -> Phase:
        if self.collected is not None:
            return Phase.COLLECTED
        if self.rejected is not None:
            return Phase.REJECTED
        if self.open_intent is not None:
            return Phase.DOUBT
        if self.batch is not None:
            return Phase.COLLECT if self.batch.ended else Phase.POLL
        return Phase.START if self.file_id else Phase.UPLOAD

    def count_released(self, *causes: str) -> int:
        return sum(batch.released in causes for batch in self.batches)


@dataclass(slots=True)
class RunState:
    """The fold of a journal. retries: the rounds that ask again on purpose, with what their event says of it.
    cancelled: the user wants no more, and has not taken it back. uncounted: rounds that are no matter of `max_rounds`.
    deleted: ids of files that are gone at the provider. left: of files that could not be deleted, with the reason.
    """

    run: str = ""
    rounds: dict[int, dict[int, ShardState]] = field(default_factory=dict)
    retries: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    uncounted: frozenset[int] = frozenset()
    cancelled: bool = False
    loaded: Mapping[str, Any] | None = None
    deleted: set[str] = field(default_factory=set)
    left: dict[str, str] = field(default_factory=dict)
    updated: str = ""

    @property
    def round(self) -> int:
        """The newest round built."""
        return max(self.rounds, default=0)

    @property
    def counted(self) -> int:
        """Rounds that count against `max_rounds`: those that asked, since the user last asked for more."""
        return sum(round_ > 0 for round_ in self.rounds.keys() - self.uncounted)

    def shards(self, round_: int | None = None) -> Iterator[ShardState]:
        """Shards in order; of one round, or of all."""
        for number in sorted(self.rounds) if round_ is None else [round_]:
            yield from self.rounds.get(number, {}).values()

    def shard(self, round_: int, number: int) -> ShardState:
        return self.rounds[round_][number]

    def batch_ids(self) -> frozenset[str]:
        """Every batch id that stands in the journal."""
        return frozenset(batch.batch_id for shard in self.shards() for batch in shard.batches)

    def in_flight(self) -> Iterator[ShardState]:
        """Shards that the provider has, or may have, and that are not on disk yet."""
        return (shard for shard in self.shards() if shard.phase in IN_FLIGHT)

    @property
    def sent(self) -> bool:
        """Whether anything may have reached the provider."""
        return bool(self.deleted) or any(shard.file_id or shard.intents for shard in self.shards())


def fold(events: Iterable[Event]) -> RunState:
    """The state after these events. Raises ValueError if they contradict one another."""
    state = RunState()
    for event in events:
        apply(state, event)
    return state


def apply(state: RunState, event: Event) -> None:
    """Advance the state by one event."""
    state.updated = event.time
    match event.kind:
        case "journal":
            state.run = event.payload["run"]
        case "writer":
            _reopen(state)
        case "built":
            _build(state, event)
        case "loaded":
            state.loaded = event.payload
        case "cancel" | "resumed":
            _change_mind(state, cancelled=event.kind == "cancel")
        case "left":
            state.left |= {file["file_id"]: event.payload["why"] for file in event.payload["files"]}
        case _:
            if event.shard not in state.rounds.get(event.round, {}):
                raise ValueError(f"{event.kind}: {shard_name(event.round, event.shard)} was never built")
            _apply_to_shard(state.shard(event.round, event.shard), event)
            _follow(state, event)


def _follow(state: RunState, event: Event) -> None:
    """What an event of a shard means for the whole run."""
    match event.kind:
        case "collected":
            state.loaded = None  # the tables lack this one
            state.shard(event.round, event.shard).ended_by_cancel = state.cancelled
        case "uploaded":  # a provider may give the same content the id that it had before
            state.deleted.discard(event.payload["file_id"])
        case "deleted":
            state.deleted.add(event.payload["file_id"])
            state.left.pop(event.payload["file_id"], None)


def _build(state: RunState, event: Event) -> None:
    state.rounds[event.round] = {
        entry["shard"]: ShardState(
            event.round,
            entry["shard"],
            entry["requests"],
            entry["bytes"],
            entry["sha256"],
            lines=entry.get("lines", entry["requests"]),
            again=entry.get("again", 0),
        )
        for entry in event.payload["shards"]
    }
    retry = event.payload.get("retry")
    if retry is not None:  # asked for by the user: rounds are counted anew
        state.retries[event.round] = retry
        state.uncounted |= {round_ for round_ in state.rounds if round_ < event.round}


def _change_mind(state: RunState, *, cancelled: bool) -> None:
    """What is cancelled costs none of the rounds that the user allows."""
    state.cancelled = cancelled
    if cancelled:
        state.uncounted |= {state.round}


def _reopen(state: RunState) -> None:
    """A new process tries again what was rejected: a person looked at it in between, and nothing was paid for."""
    for shard in state.shards():
        shard.rejected = None


def _apply_to_shard(shard: ShardState, event: Event) -> None:
    payload = event.payload
    match event.kind:
        case "uploaded":
            shard.file_id, shard.file_created_at = payload["file_id"], payload["created_at"]
            shard.file_expiry = payload.get("expiry")
        case "intent" | "receipt" | "refused" | "absent":
            _apply_intent(shard, event)
        case "batch":
            batch = _batch(shard, payload["batch_id"])
            batch.status, batch.ended = payload["status"], payload["ended"]
            batch.facts, batch.seen = payload, event.time
        case "released":
            _batch(shard, payload["batch_id"]).released = payload["cause"]
            if payload["cause"] == "file_gone":
                _lose_file(shard, shard.file_id)
        case "rejected":
            shard.rejected = payload
            if shard.batch is not None:
                shard.batch.released = "rejected"
        case "collected":
            shard.collected = payload
        case "deleted":
            _lose_file(shard, payload["file_id"])
        case other:
            raise ValueError(f"an event of kind {other} has no meaning here")


def _lose_file(shard: ShardState, file_id: str) -> None:
    """The request file is not at the provider any more: if it is still to be sent, it is uploaded anew."""
    if shard.collected is None and shard.file_id == file_id:
        shard.file_id, shard.file_created_at = "", None


def _apply_intent(shard: ShardState, event: Event) -> None:
    payload = event.payload
    if event.kind == "intent":
        if shard.open_intent is not None:
            raise ValueError(f"{shard.name}: a second intent while the first is open")
        expires_after = payload.get("output_expires_after")
        shard.intents.append(Intent(payload["intent"], payload["file_id"], expires_after=expires_after))
        return
    intent = _close(shard, payload["intent"])
    if event.kind == "receipt":
        shard.batches.append(BatchState(payload["batch_id"], seen=event.time, expires_after=intent.expires_after))


def _close(shard: ShardState, intent_id: str) -> Intent:
    intent = shard.open_intent
    if intent is None or intent.intent != intent_id:
        raise ValueError(f"{shard.name}: intent {intent_id} is not open")
    intent.closed = True
    return intent


def _batch(shard: ShardState, batch_id: str) -> BatchState:
    for batch in shard.batches:
        if batch.batch_id == batch_id:
            return batch
    raise ValueError(f"{shard.name}: unknown batch {batch_id}")


# the phases in words, for people
DESCRIBED: Mapping[Phase, str] = {
    Phase.UPLOAD: "waits for upload",
    Phase.START: "waits for its turn",
    Phase.DOUBT: "asked, answer unknown",
    Phase.POLL: "at the provider",
    Phase.COLLECT: "answers ready to fetch",
    Phase.COLLECTED: "answers on disk",
    Phase.REJECTED: "refused by the provider",
}
