"""What every request body of an endpoint must have, checked before any row is rendered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchflow.prompts.body import Path, Text, Value
from batchflow.prompts.slots import has_slot


@dataclass(frozen=True, slots=True)
class Problem:
    path: Path
    cause: str
    remedy: str


def check_chat_body(root: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the body of a request to /v1/chat/completions. Slots may stand for what a row brings."""
    if line := _batch_line(root):
        return line
    return [*_model(root), *_messages(root), *_stream(root), *_several(root)]


def _batch_line(root: Mapping[str, Any]) -> list[Problem]:
    keys = [key for key in ("custom_id", "method", "url", "body") if key in root]
    if not keys:
        return []
    cause = f"{keys[0]} belongs to the line of a batch file, not to the body of a request"
    remedy = "batchflow writes the line: keep only what stands under body" if "body" in root else f"delete {keys[0]}"
    return [Problem((keys[0],), cause, remedy)]


def _model(root: Mapping[str, Any]) -> list[Problem]:
    model = root.get("model")
    if "model" not in root:
        remedy = 'add "model": "gpt-4o" to the template, or `parameters: {model: gpt-4o}` to the experiment'
        return [Problem((), "the body names no model", remedy)]
    if isinstance(model, Value) or (isinstance(model, Text) and has_slot(model.text)):
        cause = "a slot in model is not supported yet: all requests of a run ask one model"
        return [Problem(("model",), cause, "write the name of one model; several models come with `design:`")]
    text = model.text if isinstance(model, Text) else model
    if not isinstance(text, str) or not text.strip():
        return [Problem(("model",), "model must be the name of a model", 'write a text, for example "gpt-4o"')]
    return []


def _messages(root: Mapping[str, Any]) -> list[Problem]:
    messages = root.get("messages")
    if isinstance(messages, Value):
        return []
    remedy = 'write "messages": [{"role": "user", "content": "…"}]'
    if "messages" not in root:
        return [Problem((), "the body has no messages", remedy)]
    if not isinstance(messages, list) or not messages:
        return [Problem(("messages",), "messages must be a list with at least one message", remedy)]
    problems = []
    for position, message in enumerate(messages):
        if isinstance(message, Value):
            continue
        if not isinstance(message, Mapping):
            problems.append(Problem(("messages", position), "a message must be an object", remedy))
        elif "role" not in message:
            problems.append(Problem(("messages", position), "this message has no role", 'add "role": "user"'))
    return problems


def _stream(root: Mapping[str, Any]) -> list[Problem]:
    if "stream" not in root or root["stream"] is False:
        return []
    return [Problem(("stream",), "a batch cannot stream its answers", "delete stream")]


def _several(root: Mapping[str, Any]) -> list[Problem]:
    n = root.get("n")
    if n is None or (n == 1 and not isinstance(n, bool)):
        return []
    cause = "of several answers to one request only the first would be kept, though all are billed: n must be 1"
    return [Problem(("n",), cause, "delete n; several answers to one prompt come with `design:` in a later version")]


def listed_images(root: Mapping[str, Any]) -> list[str]:
    """Image addresses that stand in a list, as the deck's slide shows it; OpenAI refuses such a request. `root` is a
    body, or the tree of one.
    """
    messages = root.get("messages")
    found = []
    for position, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        for part, member in enumerate(content if isinstance(content, list) else ()):
            if isinstance(member, Mapping) and isinstance(member.get("image_url"), list):
                place = f"messages[{position}].content[{part}].image_url"
                found.append(f'{place} is a list, which OpenAI refuses; the API takes the object {{"url": …}}')
    return found
