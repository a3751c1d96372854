"""The body of a /v1/chat/completions answer to an outcome. Reads plain JSON; depends on no order and no set of keys."""

from collections.abc import Mapping
from typing import Any

from batchflow.results import reading
from batchflow.results.outcome import Answer, Outcome


def classify(custom_id: str, status: int, body: Mapping[str, Any]) -> Answer:
    """What a 2xx body holds: an answer, a refusal, a cut or filtered text, or nothing."""
    choice = reading.first(body.get("choices"))
    message = reading.mapping(choice.get("message"))
    content, refusal = _content(message), reading.text(message.get("refusal"))
    finish = reading.text(choice.get("finish_reason"))
    return Answer(
        custom_id,
        outcome_of(content, refusal, finish),
        http_status=status,
        content=content,
        refusal=refusal,
        finish_reason=finish,
        model_answered=reading.text(body.get("model")),
        system_fingerprint=reading.text(body.get("system_fingerprint")),
        **reading.tokens(body),
        body=reading.compact(body),
    )


def outcome_of(content: str | None, refusal: str | None, finish: str | None) -> Outcome:
    """finish: why the model stopped, in the words of chat completions."""
    if refusal:
        return Outcome.REFUSED
    if finish == "content_filter":
        return Outcome.FILTERED
    if finish == "length":
        return Outcome.TRUNCATED
    return Outcome.ANSWERED if content else Outcome.EMPTY


def _content(message: Mapping[str, Any]) -> str | None:
    """The text; parts are joined; a message that only calls tools answers with those calls, as JSON."""
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "".join(text for text in texts if isinstance(text, str)) or None
    if calls and not content:
        return reading.compact(calls)
    return reading.text(content)
