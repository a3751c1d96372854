"""Which parser reads the body of an answer: that of the endpoint that was asked, or, where nobody knows it, the one
that the body looks like.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from batchflow.results import chat, embeddings, others, reading, responses
from batchflow.results.outcome import Answer
from batchflow.spec.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RAW, RESPONSES

Parser: TypeAlias = Callable[[str, int, Mapping[str, Any]], Answer]

_PARSERS: Final[Mapping[str, Parser]] = {
    CHAT: chat.classify,
    RESPONSES: responses.classify,
    EMBEDDINGS: embeddings.classify,
    MODERATIONS: others.moderation,
    COMPLETIONS: others.completion,
    **dict.fromkeys(RAW, others.raw),
}


def parser_for(endpoint: str, body: Mapping[str, Any]) -> Parser:
    """endpoint: the one that was asked; one that is not known is told from the body."""
    return _PARSERS.get(endpoint) or _PARSERS[_looks_like(body)]


def holds_answer(body: Mapping[str, Any]) -> bool:
    """Whether a body has the member in which some endpoint answers, with something in it."""
    return any(body.get(name) for name in ("choices", "output", "data", "results"))


def _looks_like(body: Mapping[str, Any]) -> str:
    kind = body.get("object")
    if kind == "response" or isinstance(body.get("output"), list):
        return RESPONSES
    if kind == "text_completion":
        return COMPLETIONS
    if isinstance(body.get("results"), list):
        return MODERATIONS
    if reading.first(body.get("data")).get("embedding") is not None:
        return EMBEDDINGS
    return CHAT
