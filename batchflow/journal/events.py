"""The journal's format, version 1: one JSON line per recorded fact, closed by a checksum over the line before it.

| kind | step | payload | means |
| --- | --- | --- | --- |
| journal | | version, run | the first line |
| writer | | writer, host, pid, boot, batchflow | a process took over the writing |
| built | build | requests, shards (retry) | the request files of this round are on disk (retry: asked for by name) |
| uploaded | upload | file_id, bytes, created_at (expiry) | a shard's file is at the provider |
| intent | start | intent, file_id (output_expires_after) | a batch is about to be created |
| receipt | start | intent, batch_id, adopted | it was created (adopted: found again after a doubt) |
| refused | start | intent, status, code, message | it was not created: the provider said no |
| absent | start | intent | it was not created: the provider does not know it |
| batch | poll | batch_id, status, ended, both file ids, errors, moments, counts, tokens | a batch changed |
| released | poll | batch_id, cause | a failed batch did nothing; its shard may be sent again |
| rejected | poll | code, message, rows | the shard failed for a cause of ours; it stays unsent |
| collected | collect | batch_id, files, account (cost, worth_usd) | every answer of a batch is on disk and counted |
| loaded | load | database, rows | the tables hold what was collected so far |
| cancel | | batches | the user wants the open batches of this round to end, and nothing more to be sent |
| resumed | | requests | the user agreed to send the rest of a cancelled run |
| deleted | | file_id, what, found | a file of this shard's is gone at the provider (found: it was still there) |
| left | | files, why | these files could not be deleted there |
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from batchflow import clock
from batchflow.errors import redactor

JOURNAL_VERSION: Final = 1

PAYLOADS: Final[Mapping[str, frozenset[str]]] = {
    "journal": frozenset({"version", "run"}),
    "writer": frozenset({"writer", "host", "pid", "boot", "batchflow"}),
    "built": frozenset({"requests", "shards"}),
    "uploaded": frozenset({"file_id", "bytes", "created_at"}),
    "intent": frozenset({"intent", "file_id"}),
    "receipt": frozenset({"intent", "batch_id", "adopted"}),
    "refused": frozenset({"intent", "status", "code", "message"}),
    "absent": frozenset({"intent"}),
    "batch": frozenset(
        {"batch_id", "status", "ended", "output_file_id", "error_file_id", "errors", "moments", "counts", "tokens"}
    ),
    "released": frozenset({"batch_id", "cause"}),
    "rejected": frozenset({"code", "message", "rows"}),
    "collected": frozenset({"batch_id", "files", "account"}),
    "loaded": frozenset({"database", "rows"}),
    "cancel": frozenset({"batches"}),
    "resumed": frozenset({"requests"}),
    "deleted": frozenset({"file_id", "what", "found"}),
    "left": frozenset({"files", "why"}),
}
# what a payload may have beside them
OPTIONAL: Final[Mapping[str, frozenset[str]]] = {
    "built": frozenset({"retry"}),
    "uploaded": frozenset({"expiry"}),
    "intent": frozenset({"output_expires_after"}),
    "collected": frozenset({"cost", "worth_usd"}),
}

# Texts that stay as they are: names and hashes of ours, and the ids by which the provider knows its files and batches.
_EXACT: Final = frozenset(
    {
        *("run", "writer", "host", "boot", "batchflow", "intent", "cause", "name", "sha256", "custom_id", "row_id"),
        *("database", "file_id", "batch_id", "output_file_id", "error_file_id"),
    }
)
_FOREIGN_KEYS: Final = frozenset({"counts", "tokens"})  # the provider names what it counts
_SUM = ',"sum":"'
_DIGITS = 16
_WRITER: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. seq counts from 0 without gaps; round and shard are 0 where they do not apply."""

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    step: str = ""
    round: int = 0
    shard: int = 0
    seq: int = -1
    time: str = ""

    def __post_init__(self) -> None:
        wanted = PAYLOADS.get(self.kind)
        if wanted is None:
            raise ValueError(f"unknown kind of event: {self.kind}")
        if not wanted <= self.payload.keys() <= wanted | OPTIONAL.get(self.kind, frozenset()):
            raise ValueError(f"{self.kind}: payload has {sorted(self.payload)}, wanted {sorted(wanted)}")


def encode(event: Event, seq: int) -> bytes:
    """The event's line, newline included."""
    return recorded(event, seq)[0]


def recorded(event: Event, seq: int) -> tuple[bytes, Event]:
    """The event's line, newline included, and the event as whoever reads that line has it."""
    kept = replace(event, payload=_clean(event.payload, redactor()), seq=seq, time=event.time or clock.stamp())
    record: dict[str, Any] = {"seq": seq, "time": kept.time, "kind": event.kind}
    if event.step:
        record["step"] = event.step
    if event.round:
        record["round"] = event.round
    if event.shard:
        record["shard"] = event.shard
    record["payload"] = kept.payload
    text = _WRITER.encode(record)[:-1]
    return f'{text}{_SUM}{_checksum(text)}"}}\n'.encode("ascii"), kept


def decode(line: bytes) -> Event:
    """The event of a line without its newline; raises ValueError for anything that encode would not have written."""
    text, found, tail = line.decode("ascii").rpartition(_SUM)
    if not found or tail != f'{_checksum(text)}"}}':
        raise ValueError("wrong checksum")
    record = json.loads(text + "}")
    return Event(
        kind=record["kind"],
        payload=record["payload"],
        step=record.get("step", ""),
        round=record.get("round", 0),
        shard=record.get("shard", 0),
        seq=record["seq"],
        time=record["time"],
    )


def _clean(value: Any, redact: Callable[[str], str], key: str = "") -> Any:
    """What came from outside passes the redaction before it is written, whatever it is called."""
    if isinstance(value, str):
        return value if key in _EXACT else redact(value)
    if value is None or isinstance(value, (int, float)):  # most of what is recorded
        return value
    if isinstance(value, Mapping):
        foreign = key in _FOREIGN_KEYS
        return {redact(name) if foreign else str(name): _clean(member, redact, name) for name, member in value.items()}
    return [_clean(member, redact, key) for member in value] if isinstance(value, (list, tuple)) else value


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_DIGITS]
