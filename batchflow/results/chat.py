"""The body of a /v1/chat/completions answer to an outcome. Reads plain JSON; depends on no order and no set of keys."""

import json
from collections.abc import Mapping
from typing import Any

from batchflow.results.outcome import Answer, Outcome

_LARGEST = 2**63  # what a column of whole numbers holds


def classify(custom_id: str, status: int, body: Mapping[str, Any]) -> Answer:
    """What a 2xx body holds: an answer, a refusal, a cut or filtered text, or nothing."""
    choice = _first(body.get("choices"))
    message = _mapping(choice.get("message"))
    content, refusal = _content(message), _text(message.get("refusal"))
    finish = _text(choice.get("finish_reason"))
    usage = _mapping(body.get("usage"))
    return Answer(
        custom_id,
        _outcome(content, refusal, finish),
        http_status=status,
        content=content,
        refusal=refusal,
        finish_reason=finish,
        model_answered=_text(body.get("model")),
        system_fingerprint=_text(body.get("system_fingerprint")),
        prompt_tokens=_number(usage.get("prompt_tokens")),
        cached_tokens=_number(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")),
        completion_tokens=_number(usage.get("completion_tokens")),
        reasoning_tokens=_number(_mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        total_tokens=_number(usage.get("total_tokens")),
        body=json.dumps(body, separators=(",", ":")),
    )


def _outcome(content: str | None, refusal: str | None, finish: str | None) -> Outcome:
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
        return json.dumps(calls, separators=(",", ":"))
    return _text(content)


def _first(choices: Any) -> Mapping[str, Any]:
    return _mapping(choices[0]) if isinstance(choices, list) and choices else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    """Text as a database can hold it: half a surrogate pair, which models do emit, stays readable as its escape."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST else None
