"""The body of a /v1/responses answer to an outcome: every item of `output` is looked at, wherever it stands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from batchflow.results import reading
from batchflow.results.outcome import Answer, Outcome

FINAL: Final = "final_answer"
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_FAILED: Final = frozenset({"failed", "cancelled"})


def classify(custom_id: str, status: int, body: Mapping[str, Any]) -> Answer:
    """What a 2xx body without an error holds: an answer, a refusal, a cut or filtered text, a failure, or nothing."""
    items = reading.mappings(body.get("output"))
    parts = list(_parts(items))
    content = _joined(parts, "output_text", "text") or _calls(items)
    refusal = _joined(parts, "refusal", "refusal")
    state = reading.text(body.get("status"))
    reason = reading.text(reading.mapping(body.get("incomplete_details")).get("reason"))
    failed = state in _FAILED
    return Answer(
        custom_id,
        Outcome.ERROR if failed else _outcome(content, refusal, state, reason),
        http_status=status,
        error_code=state if failed else None,
        error_message="the provider says that the response failed, and not why" if failed else None,
        content=None if failed else content,
        refusal=refusal,
        finish_reason=reason or state,
        model_answered=reading.text(body.get("model")),
        system_fingerprint=reading.text(body.get("system_fingerprint")),
        **reading.tokens(body),
        parsed=body,
    )


def _outcome(content: str | None, refusal: str | None, state: str | None, reason: str | None) -> Outcome:
    if refusal:
        return Outcome.REFUSED
    if reason == "content_filter":
        return Outcome.FILTERED
    if reason is not None or state == "incomplete":
        return Outcome.TRUNCATED
    return Outcome.ANSWERED if content else Outcome.EMPTY


def _parts(items: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The parts of the answer: of messages of the final phase, or, where none names it, of those without a phase.

    Commentary, and any phase that may come, is no answer.
    """
    messages = [item for item in items if item.get("type") == "message"]
    final = [message for message in messages if message.get("phase") == FINAL]
    for message in final or [message for message in messages if message.get("phase") is None]:
        content = message.get("content")
        if isinstance(content, str):
            yield {"type": "output_text", "text": content}
        yield from reading.mappings(content)


def _joined(parts: Sequence[Mapping[str, Any]], kind: str, member: str) -> str | None:
    texts = (part.get(member) for part in parts if part.get("type") == kind)
    return reading.text("".join(text for text in texts if isinstance(text, str))) or None


def _calls(items: Sequence[Mapping[str, Any]]) -> str | None:
    """The calls of tools that are left to the caller, as JSON."""
    calls = [item for item in items if item.get("type") in _CALLS]
    return reading.compact(calls) if calls else None
