"""The body of a /v1/chat/completions answer to an outcome. Reads plain JSON; depends on no order and no set of keys."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from batchflow.errors import looks_secret
from batchflow.results import reading
from batchflow.results.outcome import Answer, Outcome

_OK: Final = 200
_MOST_TOKENS: Final = 10**15  # exact in every kind of number
_LATER: Final = ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")  # other names


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
        parsed=body,
        plain=(status, finish) == (_OK, "stop") and content == message.get("content") and _is_plain(body, message),
    )


def _is_plain(body: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether nothing in an answer is of another type than nearly all are: each value then means the same to whatever
    reads it.
    """
    words, usage = [body.get("model"), body.get("system_fingerprint")], reading.mapping(body.get("usage"))
    asked, told = (reading.mapping(usage.get(f"{side}_tokens_details")) for side in ("prompt", "completion"))
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens"), usage.get("total_tokens")]
    counts += [asked.get("cached_tokens"), asked.get("cache_write_tokens"), told.get("reasoning_tokens")]
    return (
        bool(message.get("content") and message.get("refusal") is None)
        and all(word is None or _is_word(word) for word in words)
        and all(count is None or (type(count) is int and 0 <= count < _MOST_TOKENS) for count in counts)
        and not any(name in usage for name in _LATER)
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and not _looks_secret(value)


_looks_secret = lru_cache(looks_secret)  # a file has few names of models


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
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(text for text in texts if isinstance(text, str)) or None
    if calls and not content:
        return reading.compact(calls)
    return reading.text(content)
