"""A provider's result file to answers: one record per line feed, no trust in shape, order or completeness."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, Final

from batchflow.results.endpoints import holds_answer, parser_for
from batchflow.results.outcome import Answer, Outcome

_RETRYABLE: Final = frozenset({0, 408, 409, 429})
_SUCCESS: Final = range(200, 300)
_SERVER_ERROR: Final = 500
_DIGITS: Final = re.compile("[0-9]{1,9}")
_NOT_RUN: Final[Mapping[str, Outcome]] = {
    "batch_expired": Outcome.EXPIRED,
    "request_expired": Outcome.EXPIRED,
    "batch_cancelled": Outcome.CANCELLED,
    "batch_canceled": Outcome.CANCELLED,
    "request_cancelled": Outcome.CANCELLED,
}
# errors that no repetition mends, for servers that give a code but no status
_PERMANENT: Final = frozenset(
    {
        "context_length_exceeded",
        "invalid_prompt",
        "invalid_request",
        "invalid_request_error",
        "invalid_value",
        "content_policy_violation",
        "model_not_found",
        "unsupported_parameter",
        "unsupported_value",
    }
)
_TRANSIENT: Final = frozenset(
    {"server_error", "rate_limit_exceeded", "overloaded_error", "timeout", "vector_store_timeout"}
)
_BOM: Final = b"\xef\xbb\xbf"
_ROW: Final = re.compile(rb'"custom_id"\s*:\s*"(\d+)-')


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line number (from 1) and bytes of each record, split at the line feed alone: models emit U+2028 and its kin."""
    with path.open("rb") as handle:  # a binary file iterates over \n, nothing else
        for number, line in enumerate(handle, start=1):
            if record := _record(number, line):
                yield number, record


def picked(path: Path, numbers: Collection[int] | None) -> Iterator[tuple[int, bytes]]:
    """Some of the records, by the numbers of their lines; None: every one."""
    if numbers is None:
        yield from records(path)
        return
    before = 0
    with path.open("rb") as handle:
        for number in sorted(numbers):
            line = next(islice(handle, number - before - 1, None), b"")
            if record := _record(number, line):
                yield number, record
            before = number


def _record(number: int, line: bytes) -> bytes:
    return line.removeprefix(_BOM).strip() if number == 1 else line.strip()


def of_rows(chosen: Callable[[int], bool]) -> Callable[[bytes], bool]:
    """What tells the records that answer for some rows, by number, without looking closer at them."""

    def tell(record: bytes) -> bool:
        found = _ROW.search(record)
        return found is not None and chosen(int(found[1]))

    return tell


def parse(record: bytes, endpoint: str = "") -> Answer | None:
    """The answer in a record; None for a line that is no result (no JSON object, no custom_id).

    endpoint: the one that was asked; where it is not known, the body tells.
    """
    value = _result(record)
    if isinstance(value, str):
        return None
    custom_id: str = value["custom_id"]
    response, error = value.get("response"), value.get("error")
    if isinstance(response, dict):
        return _from_response(custom_id, response, error, endpoint)
    return _from_error(custom_id, None, error, None)


def fault(record: bytes) -> str:
    """Why a record is no result; empty for one that is."""
    value = _result(record)
    return value if isinstance(value, str) else ""


def _result(record: bytes) -> Mapping[str, Any] | str:
    """The object in a record, or why it is no result."""
    try:
        # a damaged character must not cost a paid answer
        value = json.loads(record.decode("utf-8", "replace"))
    except RecursionError:
        return "this is nested too deeply"
    except ValueError as error:
        return f"this is no JSON: {error}"
    if not isinstance(value, dict):
        return "this is no JSON object"
    return value if isinstance(value.get("custom_id"), str) else "this has no custom_id"


def _from_response(custom_id: str, response: Mapping[str, Any], error: Any, endpoint: str) -> Answer:
    body = _decoded(response.get("body"))
    status = _status(response.get("status_code"))
    if isinstance(body, dict) and body.get("error"):
        return _from_error(custom_id, status, body["error"], body)
    if status is None and isinstance(body, dict) and not error:
        status = 200  # servers were seen that leave it out
    if status is not None and status in _SUCCESS:
        if error and not (isinstance(body, dict) and holds_answer(body)):
            return _from_error(custom_id, None, error, body)
        if isinstance(body, dict):
            return parser_for(endpoint, body)(custom_id, status, body)
        return Answer(custom_id, Outcome.EMPTY, http_status=status, parsed=body)
    return _from_error(custom_id, status, error, body)


def _from_error(custom_id: str, status: int | None, error: Any, body: Any) -> Answer:
    code, message = _words(error)
    outcome = _NOT_RUN.get(code.lower(), Outcome.ERROR) if status is None or status == 0 else Outcome.ERROR
    return Answer(
        custom_id,
        outcome,
        owed=outcome is not Outcome.ERROR or _retryable(status, code),
        http_status=status,
        error_code=code or None,
        error_message=message or None,
        parsed=body,
    )


def _retryable(status: int | None, code: str) -> bool:
    """Owed again: not executed, conflicts, rate limits, server errors. Any other 4xx stays as it is."""
    if status is None:
        return code.lower() not in _PERMANENT
    if status in _SUCCESS:
        return code.lower() in _TRANSIENT
    return status in _RETRYABLE or status >= _SERVER_ERROR


def _decoded(body: Any) -> Any:
    """Some servers encode the body twice."""
    if isinstance(body, str):
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return body
    return body


def _status(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else None


def _words(error: Any) -> tuple[str, str]:
    """Code and message of an error in any of the shapes seen."""
    if isinstance(error, dict):
        code = error.get("code") or error.get("type") or ""
        return str(code), str(error.get("message") or "")
    return "", error if isinstance(error, str) else ""


def survey(handle: BinaryIO) -> tuple[int, bytes]:
    """How many records a file holds, and its last one."""
    handle.seek(0)
    lines, last = 0, b""
    for line in handle:
        if line.strip():
            lines, last = lines + 1, line
    handle.seek(0, SEEK_END)
    return lines, last


def is_json(line: bytes) -> bool:
    """Whether a line is whole: one JSON value, whatever its characters."""
    try:
        json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True
