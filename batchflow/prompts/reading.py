"""A rendered body as a person reads it: who says what, and the settings beside it; pictures, files, tools and schemas
are named, not poured out. Never an input of anything that is sent.
"""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from batchflow.identity import json_bytes

LONGEST: Final = 120  # characters of a setting that is shown as it is
_ASKED: Final = ("instructions", "messages", "input", "prompt")
_TEXTS: Final = ("text", "input_text", "output_text", "refusal")
_KINDS: Final = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"RIFF": "WebP"}
_ALONE: Final = {"input": "input", "prompt": "prompt", "instructions": "instructions"}


class Said(NamedTuple):
    """One part of a prompt: by whom it is said, and its words."""

    role: str
    text: str


class Readable(NamedTuple):
    """said: in the order in which the model gets it. settings: every other key of the body, in its order."""

    said: tuple[Said, ...]
    settings: tuple[tuple[str, str], ...]


def readable(body: Mapping[str, Any]) -> Readable:
    """The body of a request for any endpoint. Nothing that is text is shortened."""
    said = [each for key in body if key in _ASKED for each in _said(key, body[key])]
    settings = [(key, _setting(key, value)) for key, value in body.items() if key not in _ASKED]
    return Readable(tuple(said), tuple(settings))


def _said(key: str, value: Any) -> Iterator[Said]:
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield from (_item(item) for item in value)
    elif isinstance(value, list) and any(isinstance(item, str) for item in value):
        for position, item in enumerate(value, start=1):
            yield Said(f"{_ALONE.get(key, key)} {position}", words(item))
    else:
        yield Said(_ALONE.get(key, key), words(value))


def _item(item: Any) -> Said:
    """A message, or another item of a conversation."""
    if not isinstance(item, Mapping):
        return Said("input", words(item))
    if "role" not in item:
        return Said(str(item.get("type", "item")), _short(item))
    called = [_call(call) for call in item.get("tool_calls") or () if isinstance(call, Mapping)]
    name = f" ({item['name']})" if isinstance(item.get("name"), str) else ""
    content = words(item["content"]) if item.get("content") is not None else ""
    return Said(f"{item['role']}{name}", "\n".join(part for part in (content, *called) if part))


def _call(call: Mapping[str, Any]) -> str:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else call
    return f"[calls {function.get('name', 'a tool')} with {function.get('arguments', '')}]"


def words(content: Any) -> str:
    """A text as it is; the texts of a list of parts below one another, every other part by its name."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return _short(content)
    if content and all(isinstance(number, int) for number in content):
        return f"[{len(content):,} tokens, as numbers]"
    return "\n".join(part if isinstance(part, str) else _part(part) for part in content)


def _part(part: Any) -> str:
    if not isinstance(part, Mapping):
        return _short(part)
    kind = str(part.get("type", "part"))
    for key in (kind, "text", "refusal"):
        if kind in _TEXTS and isinstance(part.get(key), str):
            return str(part[key])
    if "image" in kind:
        return f"[image: {_address(part.get('image_url') or part.get('file_id'))}]"
    if "audio" in kind:
        audio = part.get("input_audio")
        facts = audio if isinstance(audio, Mapping) else {}
        return f"[audio: {facts.get('format', 'sound')}, {_inside(str(facts.get('data', '')))}]"
    if "file" in kind:
        file = part.get("file")
        facts = file if isinstance(file, Mapping) else part
        named = facts.get("filename") or facts.get("file_url") or facts.get("file_id") or ""
        return f"[file: {', '.join(filter(None, [str(named), _inside(str(facts.get('file_data') or ''))]))}]"
    return f"[{kind}: {_short(part)}]"


def _address(image: Any) -> str:
    """Where a picture lies; of one that travels in the request itself, what it is."""
    first = image[0] if isinstance(image, list) and image else image
    url = first.get("url", "") if isinstance(first, Mapping) else first
    url, detail = str(url or "no address"), first.get("detail") if isinstance(first, Mapping) else None
    shown = _inside(url) if url.startswith("data:") else url
    return f"{shown}, detail {detail}" if detail else shown


def _inside(data: str) -> str:
    """What a data address or Base64 text holds: its kind, if that can be told, and its size."""
    if not data:
        return ""
    head, _, coded = data.rpartition(",")
    kind = head.removeprefix("data:").partition(";")[0]
    try:
        first = b64decode(coded[:16] + "=" * (-len(coded[:16]) % 4))
    except ValueError:
        first = b""
    kind = next((name for mark, name in _KINDS.items() if first.startswith(mark)), kind)
    size = len(coded.rstrip("=")) * 3 // 4
    return f"{f'{kind}, ' if kind else ''}{size:,} bytes within the request"


def _setting(key: str, value: Any) -> str:
    if key == "tools" and isinstance(value, list):
        return ", ".join(_tool(tool) for tool in value)
    if key == "response_format" and isinstance(value, Mapping):
        return _format(value)
    if key == "text" and isinstance(value, Mapping) and isinstance(value.get("format"), Mapping):
        beside = {name: member for name, member in value.items() if name != "format"}
        return _format(value["format"]) + (f", {_short(beside)}" if beside else "")
    return value if isinstance(value, str) and len(value) <= LONGEST else _short(value)


def _tool(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    facts = function if isinstance(function, Mapping) else tool if isinstance(tool, Mapping) else {}
    return str(facts.get("name") or facts.get("type") or "a tool")


def _format(value: Mapping[str, Any]) -> str:
    """The form that an answer must have."""
    inner = value.get("json_schema")
    facts = inner if isinstance(inner, Mapping) else value
    schema = facts.get("schema")
    if not isinstance(schema, Mapping):
        return str(value.get("type", _short(value)))
    fields = ", ".join(schema.get("properties", {}))
    strict = ", strict" if facts.get("strict") else ""
    return f"JSON that fits the schema {facts.get('name', '')!r}{strict}" + (f": {fields}" if fields else "")


def _short(value: Any) -> str:
    try:
        text = json_bytes(value).decode()
    except (TypeError, ValueError):
        text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters of JSON)"
