"""Values of a body that nobody vouches for: each is what it should be, or unknown. Shared by all parsers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from batchflow.identity import doubled, json_text

_LARGEST: Final = 2**63  # what a column of whole numbers holds
_LONGEST: Final = 300  # characters of a reason


class Tokens(TypedDict):
    """The counts of an answer, None where none was told."""

    prompt_tokens: int | None
    cached_tokens: int | None
    written_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; whatever else is in it is left out."""
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def first(value: Any) -> Mapping[str, Any]:
    return mapping(value[0]) if isinstance(value, list) and value else {}


def text(value: Any) -> str | None:
    """Text as a database can hold it: half a surrogate pair, which models do emit, stays readable as its escape."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST else None


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def tokens(body: Mapping[str, Any]) -> Tokens:
    """`usage` by the names of chat completions, or by those of the later endpoints."""
    usage = mapping(body.get("usage"))
    asked = mapping(usage.get("prompt_tokens_details")) or mapping(usage.get("input_tokens_details"))
    told = mapping(usage.get("completion_tokens_details")) or mapping(usage.get("output_tokens_details"))
    return {
        "prompt_tokens": number(usage.get("prompt_tokens", usage.get("input_tokens"))),
        "cached_tokens": number(asked.get("cached_tokens")),
        "written_tokens": number(asked.get("cache_write_tokens")),
        "completion_tokens": number(usage.get("completion_tokens", usage.get("output_tokens"))),
        "reasoning_tokens": number(told.get("reasoning_tokens")),
        "total_tokens": number(usage.get("total_tokens")),
    }


def members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object, for a JSON reader. Errors: ValueError where a name stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the field {short(json_text(doubled(pairs)))} stands twice in one object")
    return found


def short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
