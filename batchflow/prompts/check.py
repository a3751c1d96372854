"""What every request body of an endpoint must have, checked before any row is rendered: a list of checks for each.

Slots may stand for what a row brings. Names and values of parameters are the provider's to judge.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from batchflow.prompts.body import Path, Text, Value
from batchflow.prompts.slots import has_slot
from batchflow.spec.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGES,
    MODERATIONS,
    RESPONSES,
    VIDEOS,
)

_ANY_VALUE: Final = re.compile(r"\s*\{\{.*\|\s*json\s*\}\}\s*", re.DOTALL)  # in YAML, where a filter makes a value
MOST_INPUTS: Final = 2_048  # texts in one embeddings request
_MODELS: Final = {
    EMBEDDINGS: "text-embedding-3-small",
    MODERATIONS: "omni-moderation-latest",
    COMPLETIONS: "gpt-3.5-turbo-instruct",
    IMAGES: "gpt-image-1",
    IMAGE_EDITS: "gpt-image-1",
    VIDEOS: "sora-2",
}
# what chat completions call otherwise -> how the other endpoints have it
_MESSAGES: Final = "messages belongs to /v1/chat/completions"
_IN_RESPONSES: Final = {
    "response_format": 'write "text": {"format": {…}}',
    "max_tokens": "write max_output_tokens",
    "max_completion_tokens": "write max_output_tokens",
    "reasoning_effort": 'write "reasoning": {"effort": …}',
    "verbosity": 'write "text": {"verbosity": …}',
}


class Problem(NamedTuple):
    path: Path
    cause: str
    remedy: str


Check: TypeAlias = Callable[[Mapping[str, Any]], list[Problem]]


def check_body(root: Mapping[str, Any], endpoint: str) -> list[Problem]:
    """What is wrong with the body of a request to an endpoint."""
    if line := _batch_line(root):
        return line
    return [*_model(root, endpoint), *(problem for check in _CHECKS[endpoint] for problem in check(root))]


def inputs_of(body: Mapping[str, Any]) -> int:
    """How many texts an embeddings request brings (a provider limits their sum per batch); a list of tokens is one."""
    texts = body.get("input")
    tokens = isinstance(texts, list) and all(isinstance(each, int | float) for each in texts)
    return len(texts) if isinstance(texts, list) and not tokens else 1


def _from_row(node: Any) -> bool:
    """Whether a row brings the value, of which nothing is known yet."""
    return isinstance(node, Value) or (isinstance(node, Text) and _ANY_VALUE.fullmatch(node.text) is not None)


def _batch_line(root: Mapping[str, Any]) -> list[Problem]:
    keys = [key for key in ("custom_id", "method", "url", "body") if key in root]
    if not keys:
        return []
    cause = f"{keys[0]} belongs to the line of a batch file, not to the body of a request"
    remedy = "batchflow writes the line: keep only what stands under body" if "body" in root else f"delete {keys[0]}"
    return [Problem((keys[0],), cause, remedy)]


def _model(root: Mapping[str, Any], endpoint: str) -> list[Problem]:
    model, usual = root.get("model"), _MODELS.get(endpoint, "gpt-4o")
    if "model" not in root:
        remedy = f'add "model": "{usual}" to the template, or `parameters: {{model: {usual}}}` to the experiment'
        return [Problem((), "the body names no model", remedy)]
    if isinstance(model, Value) or (isinstance(model, Text) and has_slot(model.text)):
        cause = "a slot in model is not supported yet: all requests of a run ask one model"
        return [Problem(("model",), cause, "write the name of one model; several models come with `design:`")]
    text = model.text if isinstance(model, Text) else model
    if not isinstance(text, str) or not text.strip():
        return [Problem(("model",), "model must be the name of a model", f'write a text, for example "{usual}"')]
    return []


def _messages(root: Mapping[str, Any]) -> list[Problem]:
    messages = root.get("messages")
    if _from_row(messages):
        return []
    remedy = 'write "messages": [{"role": "user", "content": "…"}]'
    if "messages" not in root:
        if "input" in root:
            remedy += "; a body with input belongs to `endpoint: /v1/responses`"
        return [Problem((), "the body has no messages", remedy)]
    if not isinstance(messages, list) or not messages:
        return [Problem(("messages",), "messages must be a list with at least one message", remedy)]
    problems = []
    for position, message in enumerate(messages):
        if _from_row(message):
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


def _asked(key: str, example: str, root: Mapping[str, Any]) -> list[Problem]:
    """`key` must say what is asked: a text, or a list."""
    remedy = f'write "{key}": {example}'
    if "messages" in root:
        return [Problem(("messages",), f"{_MESSAGES}; here it is {key} that says what is asked", remedy)]
    if key not in root:
        return [Problem((), f"the body has no {key}", remedy)]
    asked = root[key]
    text = asked.text if isinstance(asked, Text | Value) else asked
    if isinstance(text, str | list) and text:
        return []
    return [Problem((key,), f"{key} must be a text, or a list with at least one member", remedy)]


def _stored_prompt(root: Mapping[str, Any]) -> bool:
    prompt = root.get("prompt")
    return _from_row(prompt) or (isinstance(prompt, Mapping) and "id" in prompt)


def _responses_input(root: Mapping[str, Any]) -> list[Problem]:
    if "input" not in root and "messages" not in root:
        if _stored_prompt(root):
            return []
        if "prompt" in root:
            cause = "prompt names a stored prompt here, by its id; it is input that says what is asked"
            return [Problem(("prompt",), cause, 'write "input": "…", or "prompt": {"id": "pmpt_…"}')]
    problems = _asked("input", '"…"', root)
    items = root.get("input")
    for position, item in enumerate(items if isinstance(items, list) else []):
        if not (isinstance(item, Mapping) or _from_row(item)):
            remedy = 'write {"role": "user", "content": "…"}'
            problems.append(Problem(("input", position), "an item of input must be an object", remedy))
    return problems


def _responses_words(root: Mapping[str, Any]) -> list[Problem]:
    """Keys of chat completions that mean nothing here, or another thing."""
    problems = [
        Problem((key,), f"{key} belongs to /v1/chat/completions", remedy)
        for key, remedy in _IN_RESPONSES.items()
        if key in root
    ]
    instructions = root.get("instructions")
    if not isinstance(instructions, str | Text | Value | None):
        problems.append(Problem(("instructions",), "instructions must be a text", 'write "instructions": "…"'))
    if root.get("background") not in {None, False}:
        cause = "a batch waits for its answers: a response in the background would come without one"
        problems.append(Problem(("background",), cause, "delete background"))
    return problems


def _few_inputs(root: Mapping[str, Any]) -> list[Problem]:
    if inputs_of(root) <= MOST_INPUTS:
        return []
    cause = f"input holds {inputs_of(root):,} texts; one request takes at most {MOST_INPUTS:,}"
    return [Problem(("input",), cause, "write one text per row of the table")]


def _one_prompt(root: Mapping[str, Any]) -> list[Problem]:
    prompt = root.get("prompt")
    if not isinstance(prompt, list) or len(prompt) < 2 or all(isinstance(each, int | float) for each in prompt):  # noqa: PLR2004 - several
        return []
    cause = "of the answers to several prompts only the first would be kept, though all are billed"
    return [Problem(("prompt",), cause, "write one prompt per row of the table")]


_INPUT: Final[Check] = partial(_asked, "input", '"{{ Column }}"')
_PROMPT: Final[Check] = partial(_asked, "prompt", '"{{ Column }}"')
_CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    CHAT: (_messages, _stream, _several),
    RESPONSES: (_responses_input, _responses_words, _stream),
    EMBEDDINGS: (_INPUT, _few_inputs, _stream),
    MODERATIONS: (_INPUT, _stream),
    COMPLETIONS: (_PROMPT, _one_prompt, _stream, _several),
    IMAGES: (_PROMPT, _stream),
    IMAGE_EDITS: (_PROMPT, _stream),
    VIDEOS: (_PROMPT, _stream),
}
