"""What every responder is asked, and what it answers; the simulator and the replay are two of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from batchflow.identity import LOCAL_RESPONDER, LOCAL_RESPONDER_VERSION
from batchflow.server.dice import Dice, Stream

RESPONDER: Final = LOCAL_RESPONDER
RESPONDER_VERSION: Final = LOCAL_RESPONDER_VERSION
REPLAY: Final = "replay"
RESPONDERS: Final = (RESPONDER, REPLAY)

OUTCOMES: Final = ("refusal", "truncated", "filtered", "empty", "no_content", "not_json", "failed", "commentary")

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
EMBEDDINGS: Final = "/v1/embeddings"
MODERATIONS: Final = "/v1/moderations"
COMPLETIONS: Final = "/v1/completions"

_BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: its body, the bytes of it, and the ordinal among equal bodies of its batch."""

    body: Mapping[str, Any]
    body_bytes: bytes
    draw: int
    outcome: str = ""  # one of OUTCOMES where a fault asks for it
    suffix: str = ""  # text that a fault wants in the answer
    endpoint: str = CHAT

    @property
    def digest(self) -> bytes:
        return sha256(self.body_bytes).digest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the endpoint answers: HTTP status and body, and the tokens it counts."""

    status: int
    body: dict[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Responder(Protocol):
    """Answers requests; the same one for the same request."""

    def reply(self, ask: Ask, created: int) -> Reply:
        """What the endpoint says. `created` is in unix seconds, shown and nothing else."""


class Refused(Exception):
    """A request that the real endpoint, or the local one, answers with an error."""

    def __init__(self, message: str, param: str | None, code: str | None, status: int = 400) -> None:
        super().__init__(message)
        self.error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        self.status = status

    def reply(self) -> Reply:
        return Reply(self.status, {"error": self.error})


@dataclass(frozen=True, slots=True)
class World:
    """What a simulated answer depends on beside its request: the seed, and the shares of refused and truncated ones."""

    seed: int
    refusals: float = 0.0
    truncations: float = 0.0

    @property
    def name(self) -> bytes:
        return b"simulate %d %d" % (RESPONDER_VERSION, self.seed)

    def dice(self, ask: Ask, index: int) -> Dice:
        """For the plain words of the answer's choice of this index."""
        return Dice(self.name, b"%d %d" % (ask.draw, index), ask.digest)

    def stream(self, ask: Ask, index: int, purpose: bytes) -> Stream:
        return Stream(self.name, b"%d %d" % (ask.draw, index), purpose, ask.digest)

    def identity(self, ask: Ask) -> str:
        """Hexadecimal digits that only this request and draw have."""
        return sha256(self.name + b"%d" % ask.draw + ask.digest).hexdigest()

    def outcome(self, ask: Ask, index: int) -> str:
        """One of OUTCOMES, or nothing: what a fault asks for, else what the rates bring."""
        if ask.outcome or not (self.refusals or self.truncations):
            return ask.outcome
        drawn = self.stream(ask, index, b"outcome").share()
        if drawn < self.refusals:
            return "refusal"
        return "truncated" if drawn < self.refusals + self.truncations else ""


def tokens(size: int) -> int:
    """Tokens as they are counted here: a quarter of the bytes."""
    return -(-size // _BYTES_PER_TOKEN)


def cut(text: str, limit: int | None) -> str:
    """The beginning that a limit in tokens leaves, at most half."""
    return text[: len(text) // 2 if limit is None else min(limit * _BYTES_PER_TOKEN, len(text) // 2)]


def size_of(text: str) -> int:
    """Bytes of a text, which may hold what is no character."""
    return len(text.encode(errors="replace"))


def not_json(text: str) -> str:
    """The text, so that no schema was heeded and no parser takes it."""
    return "{" + text


def whole(value: Any) -> int | None:
    """A positive whole number, if that is what was given."""
    return value if type(value) is int and value > 0 else None


REFUSAL: Final = "I'm sorry, but I can't help with that request."
