"""What callers may say: the checks of query parameters, upload fields and the body of a new batch."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from batchflow.server.lines import is_json, is_text, value_of
from batchflow.server.validation import PROMPTS
from batchflow.server.wire import ApiError, missing, wrong_type, wrong_value

ENDPOINTS: Final = tuple(PROMPTS)
WINDOWS: Final = ("24h",)
PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
DAY: Final = 86_400
MAX_BATCH_FILE: Final = 200 * 1024 * 1024

_KNOWN: Final = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"})
_SHORTEST: Final = 3_600
_LONGEST: Final = 30 * DAY
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_PART: Final = re.compile(r"([0-9]{0,15})-([0-9]{0,15})")
_PAIRS: Final = 16
_KEY: Final = 64
_VALUE: Final = 512


def is_range(header: bytes) -> bool:
    """Whether a Range asks for bytes from somewhere to somewhere."""
    unit, _, parts = header.decode("latin-1").partition("=")
    found = [_PART.fullmatch(part.strip()) for part in parts.split(",")]
    return unit.strip().lower() == "bytes" and all(
        part is not None and part[0] != "-" and (not (part[1] and part[2]) or int(part[1]) <= int(part[2]))
        for part in found
    )


def limit_of(query: Mapping[str, str], *, most: int, default: int) -> int:
    """The page size that was asked for."""
    written = query.get("limit", str(default))
    if not re.fullmatch(r"-?[0-9]{1,15}", written):
        raise wrong_type("limit", "an integer")
    limit = int(written)
    return _within("limit", limit, least=1, most=most)


def _within(name: str, number: int, *, least: int, most: int) -> int:
    """The number, if it keeps within its bounds."""
    if number < least:
        message = (
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {number} instead."
        )
        raise ApiError(400, message, "integer_below_min_value", name)
    if number > most:
        message = (
            f"Invalid '{name}': integer above maximum value. Expected a value <= {most}, but got {number} instead."
        )
        raise ApiError(400, message, "integer_above_max_value", name)
    return number


def expiry_of(anchor: Any, seconds: Any, name: str) -> int:
    """Seconds to keep a file, from its creation on."""
    if anchor is None:
        raise missing(f"{name}.anchor")
    if anchor != "created_at":
        raise wrong_value(f"{name}.anchor", anchor, ("created_at",))
    if isinstance(seconds, float) and seconds.is_integer():
        seconds = int(seconds)  # JSON knows one kind of number
    if seconds is None:
        raise missing(f"{name}.seconds")
    if type(seconds) is not int:
        raise wrong_type(f"{name}.seconds", "an integer")
    return _within(f"{name}.seconds", seconds, least=_SHORTEST, most=_LONGEST)


def upload_expiry(fields: Mapping[str, str]) -> int | None:
    """Seconds that an upload asks to be kept; None where it does not say."""
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    return expiry_of(anchor, int(seconds) if seconds and _WHOLE.fullmatch(seconds) else seconds, "expires_after")


def check_upload(fields: Mapping[str, str], filename: str, size: int, first_line: bytes) -> None:
    """What the real API looks at while a file is uploaded: little more than its name and its first line."""
    purpose = fields.get("purpose")
    if purpose is None:
        raise missing("purpose")
    if purpose not in PURPOSES:
        raise wrong_value("purpose", purpose, PURPOSES)
    if purpose != "batch":
        return
    if not filename.endswith(".jsonl"):
        raise ApiError(400, "Invalid file format for Batch API. Must be .jsonl")
    if size == 0:
        raise ApiError(400, "Invalid file format for Batch API. The .jsonl file is empty.")
    if size > MAX_BATCH_FILE:
        raise ApiError(
            413, f"The file is too large for the Batch API: {size:,} bytes, at most {MAX_BATCH_FILE:,} are allowed."
        )
    if not is_json(first_line):
        raise ApiError(400, "Invalid file format for Batch API. The first line of the .jsonl file is not valid JSON.")


def batch_values(content: bytes) -> dict[str, Any]:
    """The body of a new batch, checked, as columns of the store."""
    body = _object(content)
    for name in ("input_file_id", "endpoint", "completion_window"):
        if body.get(name) is None:
            raise missing(name)
        if not isinstance(body[name], str):
            raise wrong_type(name, "a string")
    for name, supported in (("endpoint", ENDPOINTS), ("completion_window", WINDOWS)):
        if body[name] not in supported:
            raise wrong_value(name, body[name], supported)
    metadata = _metadata(body.get("metadata"))
    return {
        "endpoint": body["endpoint"],
        "input_file_id": body["input_file_id"],
        "completion_window": body["completion_window"],
        "metadata": None if metadata is None else json.dumps(metadata),
        "output_seconds": _output_expiry(body.get("output_expires_after")),
    }


def json_body(content: bytes) -> dict[str, Any]:
    """The object that a request sends."""
    try:
        body = value_of(content)
    except ValueError as error:
        raise _unreadable() from error
    if not isinstance(body, dict):
        raise wrong_type("body", "an object")
    return body


def _unreadable() -> ApiError:
    return ApiError(400, "We could not parse the JSON body of your request.")


def _object(content: bytes) -> dict[str, Any]:
    body = json_body(content)
    if not is_text(json.dumps(body, ensure_ascii=False)):
        raise _unreadable()
    for name in body:
        if name not in _KNOWN:
            raise ApiError(400, f"Unknown parameter: '{name}'.", "unknown_parameter", name)
    return body


def _output_expiry(kept: Any) -> int | None:
    if kept is None:
        return None
    if not isinstance(kept, dict):
        raise wrong_type("output_expires_after", "an object")
    for name in kept:
        if name not in {"anchor", "seconds"}:
            param = f"output_expires_after.{name}"
            raise ApiError(400, f"Unknown parameter: '{param}'.", "unknown_parameter", param)
    return expiry_of(kept.get("anchor"), kept.get("seconds"), "output_expires_after")


def _metadata(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type("metadata", "an object")
    if len(value) > _PAIRS:
        raise ApiError(
            400,
            f"Invalid 'metadata': at most {_PAIRS} pairs are allowed, got {len(value)}.",
            "object_above_max_properties",
            "metadata",
        )
    for key, text in value.items():
        if not isinstance(text, str):
            raise wrong_type(f"metadata.{key}", "a string")
        if len(key) > _KEY or len(text) > _VALUE:
            message = f"Invalid 'metadata': keys have at most {_KEY} characters, values at most {_VALUE}."
            raise ApiError(400, message, "string_above_max_length", f"metadata.{key[:_KEY]}")
    return value
