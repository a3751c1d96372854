"""The simulated `/v1/chat/completions`."""

from collections.abc import Mapping
from typing import Any, Final

from batchflow.server import structured
from batchflow.server.model_names import answering
from batchflow.server.responder import REFUSAL, Ask, Refused, Reply, World, cut, not_json, size_of, tokens, whole
from batchflow.server.wording import Prompts

_MOST_CHOICES: Final = 128


def reply(ask: Ask, world: World, created: int) -> Reply:
    """A chat completion; Refused where the real endpoint, or this version of the simulator, would refuse."""
    prompts = Prompts.of(_messages(ask.body))
    wanted = structured.of_chat(ask.body)
    limit = _limit(ask.body)
    choices: list[dict[str, Any]] = []
    spent = 0
    for index in range(_count(ask.body)):
        text = structured.composed(ask, world, prompts, wanted, index)
        choice, counted = _choice(index, text, world.outcome(ask, index), limit)
        choices += [] if ask.outcome == "failed" else [choice]
        spent += counted
    asked = tokens(len(ask.body_bytes))
    body = {
        "id": f"chatcmpl-{world.identity(ask)[:29]}",
        "object": "chat.completion",
        "created": created,
        "model": answering(ask.body["model"]),
        "choices": choices,
        "usage": _usage(asked, spent),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    return Reply(200, body, asked, spent)


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        message = "Invalid type for 'messages': expected a non-empty array of objects."
        raise Refused(message, "messages", "invalid_type")
    return messages


def _count(body: Mapping[str, Any]) -> int:
    wanted = whole(body.get("n"))
    return wanted if wanted is not None and wanted <= _MOST_CHOICES else 1


def _limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens an answer may have, if the request names a number."""
    return whole(body.get("max_completion_tokens")) or whole(body.get("max_tokens"))


def _usage(asked: int, spent: int) -> dict[str, Any]:
    return {
        "prompt_tokens": asked,
        "completion_tokens": spent,
        "total_tokens": asked + spent,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choice(index: int, text: str, outcome: str, limit: int | None) -> tuple[dict[str, Any], int]:
    """One choice of the answer, and the tokens it took."""
    content: str | None = text
    refusal: str | None = None
    reason = "stop"
    if outcome == "refusal":
        content, refusal = None, REFUSAL
    elif outcome == "empty":
        content = ""
    elif outcome == "no_content":
        content = None
    elif outcome == "not_json":
        content = not_json(text)
    elif outcome == "filtered":
        content, reason = text[: len(text) // 3], "content_filter"
    elif outcome == "truncated" or (limit is not None and tokens(size_of(text)) > limit):
        content, reason = cut(text, limit), "length"
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    spent = tokens(size_of(content or refusal or ""))
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}, spent
