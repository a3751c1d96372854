"""The outcomes of a request: final ones are never asked again, owed ones may be."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from batchflow.results.reading import text


class Outcome(StrEnum):
    """Final, unless listed in OWED; an `error` is either, its answer says which."""

    ANSWERED = "answered"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    EMPTY = "empty"
    INVALID = "invalid"
    ERROR = "error"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    MISSING = "missing"
    UNSENT = "unsent"
    IN_FLIGHT = "in_flight"  # not an outcome yet: a batch that holds the request has not ended


OWED: Final = (Outcome.EXPIRED, Outcome.CANCELLED, Outcome.MISSING, Outcome.UNSENT, Outcome.IN_FLIGHT)
FINAL: Final = tuple(kind for kind in Outcome if kind not in OWED)

DESCRIBED: Final[Mapping[Outcome, str]] = {
    Outcome.ANSWERED: "the model answered",
    Outcome.REFUSED: "the model declined to answer",
    Outcome.TRUNCATED: "the answer was cut at the token limit",
    Outcome.FILTERED: "a content filter stopped the answer",
    Outcome.EMPTY: "the answer has no text",
    Outcome.INVALID: "the answer does not fit the schema",
    Outcome.ERROR: "the provider reported an error for the row",
    Outcome.EXPIRED: "the batch ran out of time before the row",
    Outcome.CANCELLED: "the batch was cancelled before the row",
    Outcome.MISSING: "the provider's files do not mention the row",
    Outcome.UNSENT: "not accepted by the provider yet",
    Outcome.IN_FLIGHT: "the provider is working on it",
}


class Answer(NamedTuple):
    """One response line, normalised. Tokens are None where the provider told none (written: to its cache); dimensions
    is the length of the one vector that content holds as JSON; parsed is the body's value.

    typed: the values of the run's answer columns in their order, where the answer has any. plain: that what reads lines
    by the file sees in this one what is here (sinks/plain.py), in its body's text, too, where bodies are stored.
    """

    custom_id: str
    outcome: Outcome
    owed: bool = False
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    content: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    model_answered: str | None = None
    system_fingerprint: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    written_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    dimensions: int | None = None
    parsed: Any = None
    taken_from: str | None = None  # the run that bought it, where it was taken over
    raw: bytes | None = None  # the record as it came, only where it was asked for
    typed: tuple[Any, ...] | None = None
    plain: bool = False

    @property
    def body(self) -> str | None:
        """The body's JSON text, its characters as they are, but for half ones; few ask for it."""
        if self.parsed is None:
            return None
        return text(json.dumps(self.parsed, ensure_ascii=False, separators=(",", ":")))

    @property
    def out_of_money(self) -> bool:
        """Whether the row failed because the account ran dry: asking again cannot help until a person acts."""
        return self.error_code in {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
