"""The lines of a batch file, asked one by one at once: each answer is durable before it is counted, and asked once.

The file of answers is the record. A request whose answer is in it is never asked again; one that was in flight when the
process died may be. What a provider could not answer for the moment stays owed.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Self

from batchflow import clock, files
from batchflow.engine.lanes import for_a_human
from batchflow.engine.pacing import Backoff
from batchflow.engine.pool import Done, HttpPool
from batchflow.errors import BatchflowError, ProviderDoubt, ProviderRefused, RunBusy, UsageError
from batchflow.identity import JsonNumber, json_bytes, sha256_hex
from batchflow.providers.base import BatchProvider, Reply
from batchflow.results.lines import parse
from batchflow.results.outcome import Outcome

TRIES: Final = 5  # of a request that was not executed for want of room
MOST_DOUBTS: Final = 5  # answers in a row that did not come; then the service is down
GRACE: Final = 10.0  # seconds for calls in flight when told to end
TICK: Final = 0.1
_HEAD: Final = b'{"id":"sync_req_'  # how every line of ours begins, a cut one included
TOO_MANY_REQUESTS: Final = 429


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a batch file. digest: who is asked what."""

    custom_id: str
    endpoint: str
    model: str
    body: bytes
    digest: str


def requests(file: Path, scope: str) -> Iterator[Request]:
    """The requests of a batch file that was checked, in order."""
    with file.open("rb") as handle:
        for line in handle:
            if line.strip():
                record = json.loads(line, parse_float=JsonNumber)
                body, url = json_bytes(record["body"]), record["url"]
                digest = sha256_hex(f"{scope}\n{url}\n{sha256_hex(body)}".encode())
                yield Request(record["custom_id"], url, str(record["body"].get("model", "")), body, digest)


class Answers:
    """A result file that grows: one line an answer, durable before `add` returns. Open for one process at a time."""

    def __init__(self, path: Path, scope: str) -> None:
        self.path, self._scope = path, scope
        self.known: dict[str, str] = {}
        self._lock = files.FileLock(path)
        if not self._lock.acquire():
            raise RunBusy(f"another command writes to {path}", hint="let it finish, then give the same command again")
        try:
            whole = self._read()
            self._file = files.AppendFile(path, length=whole)
            if self._file.foreign_growth():
                self._file.truncate(whole)  # a line that a crash cut
        except BaseException:
            self._lock.release()
            raise

    def _read(self) -> int:
        """Note what is answered; returns how many bytes are whole lines."""
        whole = 0
        with self.path.open("rb") as handle:
            for line in handle:
                if not line.endswith(b"\n") and (line.startswith(_HEAD) or _HEAD.startswith(line)):
                    break
                try:
                    record = json.loads(line)
                    self.known[record["custom_id"]] = record["batchflow"]["request_sha256"]
                except (ValueError, RecursionError, KeyError, TypeError):
                    raise UsageError(
                        f"{self.path} holds lines that chat-complete has not written; nothing was sent",
                        hint="name another file with --out",
                    ) from None
                whole += len(line)
        return whole

    def has(self, request: Request) -> bool:
        """Whether this very request is answered. Raises UsageError if another one of its name is."""
        known = self.known.get(request.custom_id)
        if known is not None and known != request.digest:
            raise UsageError(
                f"{self.path} holds the answer to another request named {request.custom_id}; nothing was sent",
                hint="the file, the host or the provider is another one: name another file with --out",
            )
        return known is not None

    def add(self, request: Request, reply: Reply) -> None:
        response = {
            "status_code": reply.status,
            "request_id": reply.request_id,
            "body": json.loads(reply.body, parse_float=JsonNumber),
        }
        record: dict[str, Any] = {"id": f"sync_req_{token_hex(16)}", "custom_id": request.custom_id}
        record |= {"response": response, "error": None}
        record["batchflow"] = {"scope": self._scope, "request_sha256": request.digest}
        with files.explained(self.path):
            alone = self._file.append(json_bytes(record) + b"\n")
        if not alone:
            raise RunBusy(
                f"{self.path} was changed, moved or replaced by somebody else: this command stops, and the answer to "
                f"{request.custom_id} is not kept",
                hint="put the file back as it was, then give the same command again: it asks only the rest",
            )
        self.known[request.custom_id] = request.digest

    def close(self) -> None:
        if not self.known:  # nothing was asked: nothing is left behind
            self.path.unlink(missing_ok=True)
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def outcomes(path: Path, wanted: set[str]) -> Counter[Outcome]:
    """What the answers to these requests are."""
    found: Counter[Outcome] = Counter()
    if not path.exists():  # not one answer came
        return found
    with path.open("rb") as handle:
        for line in handle:
            answer = parse(line)
            if answer is not None and answer.custom_id in wanted:
                found[answer.outcome] += 1
    return found


@dataclass(slots=True)
class Asking:
    """One pass over what is not answered. ending: whether somebody told this process to end."""

    provider: BatchProvider
    answers: Answers
    concurrency: int
    say: Callable[[str], None]
    advance: Callable[[int], None]
    ending: Callable[[], bool]
    stop: BatchflowError | None = None
    asked: int = 0
    _doubts: int = 0
    _pool: HttpPool = field(default_factory=HttpPool)
    _waiting: deque[tuple[Request, Backoff]] = field(default_factory=deque)
    _flying: dict[str, tuple[Request, Backoff]] = field(default_factory=dict)

    def drive(self, owed: Iterator[Request]) -> None:
        """Ask everything that is owed, so many at a time; raises what stopped it once nothing flies any more."""
        deadline: float | None = None
        more = True
        while True:
            ending = self.stop is not None or self.ending()
            if ending and deadline is None:
                deadline = clock.monotonic() + GRACE
            while not ending and len(self._flying) < self.concurrency and (chosen := self._next(owed)) is not None:
                self._send(*chosen)
            more = bool(self._flying or (self._waiting and not ending))
            if not more or (deadline is not None and clock.monotonic() > deadline):
                break
            for done in self._pool.wait(TICK):
                self._judge(done)
        if self.stop is not None:
            raise self.stop

    def _next(self, owed: Iterator[Request]) -> tuple[Request, Backoff] | None:
        now = clock.monotonic()
        for _ in range(len(self._waiting)):
            request, backoff = self._waiting.popleft()
            if backoff.due <= now:
                return request, backoff
            self._waiting.append((request, backoff))
        if self._waiting:  # no room at the provider: nothing new before what waits
            return None
        request = next(owed, None)  # type: ignore[assignment] # None ends it
        return None if request is None else (request, Backoff(1.0))

    def _send(self, request: Request, backoff: Backoff) -> None:
        self._flying[request.custom_id] = request, backoff
        self._pool.submit(request.custom_id, lambda: self.provider.ask(request.endpoint, request.body))

    def _judge(self, done: Done) -> None:
        request, backoff = self._flying.pop(str(done.key))
        match done.error:
            case None:
                self.answers.add(request, done.result)
                self.asked += 1
                self._doubts = 0
                self.advance(self.asked)
            case ProviderDoubt() as doubt:
                self._doubts += 1
                self.say(f"{request.custom_id}: {doubt.message}; it stays owed, and may have been billed")
                if self._doubts >= MOST_DOUBTS:
                    self.stop = self.stop or doubt
            case ProviderRefused() as refusal:
                self._refused(request, backoff, refusal)
            case BaseException() as error:
                raise error

    def _refused(self, request: Request, backoff: Backoff, refusal: ProviderRefused) -> None:
        if refusal.needs_human:
            self.stop = self.stop or for_a_human(refusal)
        elif refusal.status != TOO_MANY_REQUESTS:
            self.stop = self.stop or refusal
        elif backoff.failures + 1 < TRIES:
            backoff.fail(clock.monotonic(), refusal.retry_after)
            self._waiting.append((request, backoff))
        else:
            self.say(f"{request.custom_id}: {refusal.message}; it stays owed")
