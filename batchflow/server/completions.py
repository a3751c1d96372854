"""The simulated `/v1/completions`: what chat completions say to the same words, as a plain text."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from batchflow.server import chat
from batchflow.server.responder import Ask, Refused, Reply, World, whole

_USUAL_LIMIT: Final = 16  # tokens, as the real endpoint has it


def reply(ask: Ask, world: World, created: int) -> Reply:
    """A text completion; Refused where the real endpoint would refuse."""
    messages = [{"role": "user", "content": _prompt(ask.body)}]
    limit = whole(ask.body.get("max_tokens")) or _USUAL_LIMIT
    asked = {"model": ask.body["model"], "messages": messages, "n": ask.body.get("n"), "max_tokens": limit}
    said = chat.reply(replace(ask, body=asked), world, created)
    choices = [
        {
            "index": choice["index"],
            "text": choice["message"]["content"] or choice["message"]["refusal"] or "",
            "logprobs": None,
            "finish_reason": choice["finish_reason"],
        }
        for choice in said.body["choices"]
    ]
    identity = f"cmpl-{world.identity(ask)[:29]}"
    body = {**said.body, "id": identity, "object": "text_completion", "choices": choices}
    del body["service_tier"]
    return replace(said, body=body)


def _prompt(body: Mapping[str, Any]) -> str:
    given = body.get("prompt")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str) or not given:
        raise Refused("Invalid type for 'prompt': expected a non-empty text.", "prompt", "invalid_type")
    return given
