"""The bodies of the endpoints whose answer is a text alone (completions), a verdict (moderations), or no text (raw)."""

from collections.abc import Mapping
from typing import Any

from batchflow.results import chat, reading
from batchflow.results.outcome import Answer, Outcome


def completion(custom_id: str, status: int, body: Mapping[str, Any]) -> Answer:
    """/v1/completions: the text of the first choice."""
    choice = reading.first(body.get("choices"))
    content, finish = reading.text(choice.get("text")), reading.text(choice.get("finish_reason"))
    return Answer(
        custom_id,
        chat.outcome_of(content, None, finish),
        http_status=status,
        content=content,
        finish_reason=finish,
        model_answered=reading.text(body.get("model")),
        system_fingerprint=reading.text(body.get("system_fingerprint")),
        **reading.tokens(body),
        parsed=body,
    )


def moderation(custom_id: str, status: int, body: Mapping[str, Any]) -> Answer:
    """/v1/moderations: content is the JSON text of `results`, one for each text of the input."""
    results = body.get("results")
    return _as_json(custom_id, status, body, results if isinstance(results, list) and results else None)


def raw(custom_id: str, status: int, body: Mapping[str, Any]) -> Answer:
    """Endpoints without a parser of their own (images, videos): content is the JSON text of the whole body."""
    return _as_json(custom_id, status, body, body or None)


def _as_json(custom_id: str, status: int, body: Mapping[str, Any], found: Any) -> Answer:
    return Answer(
        custom_id,
        Outcome.EMPTY if found is None else Outcome.ANSWERED,
        http_status=status,
        content=None if found is None else reading.compact(found),
        model_answered=reading.text(body.get("model")),
        **reading.tokens(body),
        parsed=body,
    )
