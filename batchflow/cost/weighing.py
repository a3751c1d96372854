"""What a request weighs in tokens: exactly, or by estimate; and always a bound that it cannot exceed.

The bound: no token is shorter than a byte, so a body brings no more tokens than it has bytes, but for what the provider
puts around each message (16 at most) and for images, which have rules of their own. What is not in the body at all, a
file that it names for one, makes the bound unknown.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from batchflow.cost.image_size import size_in_address
from batchflow.cost.images import image_tokens
from batchflow.cost.tokenizer import Tokenizer, tokenizer_of
from batchflow.spec.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RAW, RESPONSES

AROUND: Final = 16  # tokens around a message, at most
_BYTES_PER_TOKEN: Final = 4
_MESSAGE: Final = 3  # tokens around a message of chat completions, as OpenAI's cookbook counts them
_PRIMING: Final = 3  # and before the answer
_USUAL_CAP: Final = 16  # of completions that name none
_CAPS: Final[Mapping[str, tuple[str, ...]]] = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    RESPONSES: ("max_output_tokens",),
    COMPLETIONS: ("max_tokens",),
}
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})  # types of parts that are text
_IMAGES: Final = frozenset({"image_url", "input_image"})
_OWN_TOOLS: Final = frozenset({"function", "custom"})  # the others are run by the provider, which adds what they find
_ELSEWHERE: Final = frozenset({"previous_response_id", "conversation", "web_search_options", "audio"})
_BESIDE: Final = frozenset({"tools", "functions", "response_format", "text"})  # asked beside messages; text: responses
_PLAIN: Final = frozenset({"role", "content", "name", "type"})  # members of a message that is text and no more


class Weight(NamedTuple):
    """Tokens of one request. tokens: of its text, exact or by estimate; images: of its images, at most; bound: of all
    of it, at most; output: of all its answers, at most, None where nothing caps them. unknown: it brings what nobody
    can weigh from here, so that the bound is none.
    """

    tokens: int
    exact: bool
    bound: int
    images: int = 0
    output: int | None = None
    unknown: bool = False


class _Seen:
    """The messages of a body, and what they hold beside text. Every request passes here, so it is quick."""

    __slots__ = ("foreign", "images", "messages", "plain")

    def __init__(self, body: Mapping[str, Any]) -> None:
        given = body.get("messages") or body.get("input")
        self.messages = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
        self.images: list[Mapping[str, Any]] = []
        self.foreign = not _ELSEWHERE.isdisjoint(body) or isinstance(body.get("prompt"), dict)
        self.plain = _BESIDE.isdisjoint(body)
        if "tools" in body:
            self._look_at_tools(body["tools"])
        for message in self.messages:
            if not _PLAIN.issuperset(message) or not isinstance(message.get("content"), str):
                self._look(message)

    def _look_at_tools(self, tools: Any) -> None:
        for tool in tools if isinstance(tools, list) else ():
            self.foreign |= not isinstance(tool, dict) or tool.get("type") not in _OWN_TOOLS

    def _look(self, message: Mapping[str, Any]) -> None:
        self.plain &= _PLAIN.issuperset(message)
        self.foreign |= message.get("type") == "item_reference"
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else "text"
            if kind in _IMAGES:
                self.images.append(part)
            elif kind not in _TEXTS:
                self.foreign = True
        self.plain &= not self.images and not self.foreign


class Scale:
    """Weighs requests. exact: with the tokenizer of the model, where there is one; else, and for the local provider,
    which counts so itself, a quarter of the bytes.
    """

    def __init__(self, endpoint: str, *, exact: bool) -> None:
        self._endpoint, self._exact = endpoint, exact

    def by_size(self, model: str) -> bool:
        """Whether requests to a model that differ in texts alone weigh the same where they have as many bytes."""
        counts = self._exact and self._endpoint not in RAW and tokenizer_of(model) is not None
        return not counts and self._endpoint != EMBEDDINGS

    def weigh(self, body: Mapping[str, Any], size: int) -> Weight:
        """size: the bytes of the body as it is sent."""
        seen, model = _Seen(body), str(body.get("model", ""))
        images, unknown, pictured = 0, seen.foreign or self._endpoint in RAW, 0
        for part in seen.images:
            address, detail = _image(part)
            most = None if address is None else image_tokens(model, detail, size_in_address(address))
            unknown |= most is None
            images += most or 0
            pictured += len(address) if address is not None and address.startswith("data:") else 0
        counted = self._counted(body, seen, model)
        tokens = _estimate(body, size - pictured, self._endpoint) if counted is None else counted
        around = AROUND * (len(seen.messages) + 2)  # instructions, and a text that is no list of messages
        exact = counted is not None and seen.plain
        return Weight(tokens, exact, size - pictured + around + images, images, _cap(body, self._endpoint), unknown)

    def _counted(self, body: Mapping[str, Any], seen: _Seen, model: str) -> int | None:
        count = tokenizer_of(model) if self._exact else None
        if count is None or self._endpoint in RAW:
            return None
        try:
            return sum(_pieces(body, seen, count, self._endpoint))
        except ValueError:
            return None


def _image(part: Mapping[str, Any]) -> tuple[str | None, object]:
    """Address and detail of an image; no address for one that is a file at the provider."""
    given = part.get("image_url")
    if isinstance(given, Mapping):
        address = given.get("url")
        return (address if isinstance(address, str) else None), given.get("detail")
    return (given if isinstance(given, str) else None), part.get("detail")


def _pieces(body: Mapping[str, Any], seen: _Seen, count: Tokenizer, endpoint: str) -> Iterator[int]:
    """The tokens of every part of a body. How tools and schemas are put before the model is not published: their JSON
    is counted.
    """
    given = body.get("input", body.get("prompt"))
    if endpoint in {EMBEDDINGS, MODERATIONS, COMPLETIONS}:
        yield from (_of_input(text, count) for text in _inputs(given))
        return
    for message in seen.messages:
        yield _MESSAGE
        for key, value in message.items():
            if key != "type":
                yield from _of_value(value, count)
        yield 1 if "name" in message else 0
    for text in (body.get("instructions"), given):
        if isinstance(text, str):
            yield _MESSAGE + 1 + count(text)
    for key in _BESIDE:
        if body.get(key):
            yield count(json.dumps(body[key], ensure_ascii=False, separators=(",", ":")))
    yield _PRIMING


def _of_value(value: Any, count: Tokenizer) -> Iterator[int]:
    if isinstance(value, str):
        yield count(value)
    elif isinstance(value, list):
        for part in value:
            text = part.get("text", part.get("refusal")) if isinstance(part, Mapping) else part
            if isinstance(text, str):
                yield count(text)
    elif value is not None:
        yield count(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _inputs(given: Any) -> list[Any]:
    """The texts of an input; one of tokens is one."""
    if isinstance(given, list) and not all(isinstance(each, int | float) for each in given):
        return given
    return [given]


def _of_input(given: Any, count: Tokenizer) -> int:
    """A text's tokens, or the number of those that are given as numbers."""
    return len(given) if isinstance(given, list) else count(given if isinstance(given, str) else json.dumps(given))


def _estimate(body: Mapping[str, Any], size: int, endpoint: str) -> int:
    """A quarter of the bytes: of the texts alone where nothing stands around them, else of the body."""
    if endpoint == EMBEDDINGS:
        return sum(_of_input(each, _quarter_of) for each in _inputs(body.get("input")))
    return _quarter(size)


def _quarter_of(text: str) -> int:
    return _quarter(len(text.encode("utf-8", "surrogatepass")))


def _quarter(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)


def _cap(body: Mapping[str, Any], endpoint: str) -> int | None:
    """The most tokens that all answers to the request may have; None where nothing says so."""
    if endpoint in {EMBEDDINGS, MODERATIONS}:
        return 0
    cap = max(_whole(body, key) for key in _CAPS.get(endpoint, ("",)))
    if not cap and endpoint == COMPLETIONS:
        cap = _USUAL_CAP
    return cap * max(_whole(body, "n"), _whole(body, "best_of"), 1) or None


def _whole(body: Mapping[str, Any], key: str) -> int:
    """A count that a body names, else 0."""
    value = body.get(key)
    return value if isinstance(value, int) and value > 0 else 0
