"""The simulated `/v1/responses`: a reasoning item first, then the message."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import shake_256
from typing import Any, Final

from batchflow.server import structured
from batchflow.server.model_names import answering
from batchflow.server.responder import REFUSAL, Ask, Refused, Reply, World, cut, not_json, size_of, tokens, whole
from batchflow.server.wording import Prompts

_ENCRYPTED: Final = 900  # bytes that stand for the thoughts
_REASONING: Final = (16, 160)  # tokens that thinking takes
_EFFORTS_WITHOUT: Final = ("none",)
_FAILURE: Final = {"code": "server_error", "message": "The server had an error processing your request. Sorry!"}
_ECHOED: Final[dict[str, Any]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def reply(ask: Ask, world: World, created: int) -> Reply:
    """A response object; Refused where the real endpoint, or this version of the simulator, would refuse."""
    prompts = Prompts.of(_messages(ask.body))
    wanted = structured.of_responses(ask.body)
    text = structured.composed(ask, world, prompts, wanted, 0)
    thought = 0
    if _effort(ask.body) not in _EFFORTS_WITHOUT:
        thought = world.stream(ask, 0, b"reasoning").between(*_REASONING)
    limit = whole(ask.body.get("max_output_tokens"))
    told = _Told(text, world.outcome(ask, 0), None if limit is None else limit - thought)
    spent = tokens(size_of(told.text)) + (thought if limit is None else min(thought, limit))
    asked = tokens(len(ask.body_bytes))
    body = {
        "id": f"resp_{world.identity(ask)[:50]}",
        "object": "response",
        "created_at": created,
        "status": told.status,
        "completed_at": created if told.status == "completed" else None,
        "error": _FAILURE if told.failed else None,
        "incomplete_details": {"reason": told.cause} if told.cause else None,
        "model": answering(ask.body["model"]),
        "output": _output(ask, world, told, thought=thought > 0),
        "reasoning": {"effort": _effort(ask.body), "summary": None},
        "service_tier": "default",
        "text": {"format": {"type": "text"}, "verbosity": "medium", **_object(ask.body.get("text"))},
        "usage": _usage(asked, spent, spent - tokens(size_of(told.text))),
        **{name: ask.body.get(name, usual) for name, usual in _ECHOED.items()},
        "system_fingerprint": "fp_simulated",
    }
    return Reply(200, body, asked, spent)


class _Told:
    """What is left of the text after an outcome and a limit in tokens, and why it is incomplete, if it is."""

    def __init__(self, text: str, outcome: str, limit: int | None) -> None:
        self.text = text
        self.cause = ""
        self.refused = outcome == "refusal"
        self.begun = True
        self.failed = outcome == "failed"
        self.commented = outcome == "commentary"
        if self.refused:
            self.text = REFUSAL
        elif outcome in {"empty", "no_content"}:
            self.text, self.begun = "", outcome == "empty"
        elif outcome == "not_json":
            self.text = not_json(text)
        elif self.failed:
            self.text, self.begun = "", False
        elif outcome == "filtered":
            self.text, self.cause = text[: len(text) // 3], "content_filter"
        elif limit is not None and limit <= 0:
            # thinking took it all: there is no message
            self.text, self.cause, self.begun = "", "max_output_tokens", False
        elif outcome == "truncated" or (limit is not None and tokens(size_of(text)) > limit):
            self.text, self.cause = cut(text, limit), "max_output_tokens"

    @property
    def status(self) -> str:
        if self.failed:
            return "failed"
        return "incomplete" if self.cause else "completed"

    def part(self) -> dict[str, Any]:
        if self.refused:
            return {"type": "refusal", "refusal": self.text}
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": self.text}


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The prompts as a chat would have them."""
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Refused("Invalid type for 'input': expected text or a non-empty array of items.", "input", "invalid_type")
    return [{"role": "system", "content": body.get("instructions")}, *items]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _effort(body: Mapping[str, Any]) -> str:
    effort = _object(body.get("reasoning")).get("effort")
    return effort if isinstance(effort, str) else "medium"


def _output(ask: Ask, world: World, told: _Told, *, thought: bool) -> list[dict[str, Any]]:
    identity = world.identity(ask)[:50]
    items: list[dict[str, Any]] = []
    if thought:
        reasoning: dict[str, Any] = {"id": f"rs_{identity}", "type": "reasoning", "content": [], "summary": []}
        included = ask.body.get("include")
        if ask.body.get("store") is False or (isinstance(included, list) and "reasoning.encrypted_content" in included):
            reasoning["encrypted_content"] = b64encode(shake_256(identity.encode()).digest(_ENCRYPTED)).decode()
        items.append(reasoning)
    if told.commented:
        said = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Let me think about it first."}
        message = {"id": f"msg_0{identity[1:]}", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**message, "phase": "commentary", "content": [said]})
    if told.begun:
        items.append(
            {
                "id": f"msg_{identity}",
                "type": "message",
                "status": "incomplete" if told.cause else "completed",
                "role": "assistant",
                "phase": "final_answer",
                "content": [told.part()],
            }
        )
    return items


def _usage(asked: int, spent: int, thought: int) -> dict[str, Any]:
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": spent,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": asked + spent,
    }
