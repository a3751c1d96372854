"""The catalogue of faults: what each is called, what it must be told, and what it strikes (calls, batches, rows)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from batchflow.server.lines import is_text
from batchflow.server.responder import OUTCOMES

ROUTES: Final = {
    "files.create": "POST /v1/files",
    "files.list": "GET /v1/files",
    "files.retrieve": "GET /v1/files/{file_id}",
    "files.delete": "DELETE /v1/files/{file_id}",
    "files.content": "GET /v1/files/{file_id}/content",
    "batches.create": "POST /v1/batches",
    "batches.list": "GET /v1/batches",
    "batches.retrieve": "GET /v1/batches/{batch_id}",
    "batches.cancel": "POST /v1/batches/{batch_id}/cancel",
    "chat.completions.create": "POST /v1/chat/completions",
    "responses.create": "POST /v1/responses",
    "embeddings.create": "POST /v1/embeddings",
    "moderations.create": "POST /v1/moderations",
    "completions.create": "POST /v1/completions",
    "models.list": "GET /v1/models",
    "models.retrieve": "GET /v1/models/{model}",
}

DIALECTS: Final = (
    "uppercase_status",
    "unset_omitted",
    "no_timestamps",
    "rfc3339_dates",
    "counts_null",
    "counts_absent",
    "counts_zero",
    "window_1d",
)


@dataclass(frozen=True, slots=True)
class Argument:
    """One thing that a rule may say: in words, and as a test; the default stands where a rule is silent."""

    said: str
    accepts: Callable[[Any], bool]
    default: Any = None
    required: bool = False


def _whole(least: int, most: int = 2**53) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float, most: float = float("inf")) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _text(value: Any) -> bool:
    return isinstance(value, str) and is_text(value)


def _json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _field_name(value: Any) -> bool:
    return isinstance(value, str) and value.isidentifier() and value != "id"


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*names: Any, **options: Any) -> Argument:
    said = "one of " + ", ".join("null" if name is None else str(name) for name in names)
    return Argument(said, lambda value: value in names and not isinstance(value, bool), **options)


def _ordinals(value: Any) -> bool:
    return _whole(1)(value) or (isinstance(value, list) and bool(value) and all(map(_whole(1), value)))


def _several(*names: str) -> Argument:
    def accepts(value: Any) -> bool:
        return bool(value) and all(name in names for name in ([value] if isinstance(value, str) else value))

    return Argument(
        f"one or a list of {', '.join(names)}",
        lambda value: isinstance(value, str | list) and accepts(value),
        required=True,
    )


_SECONDS = Argument("seconds, 0 or more", _number(0), required=True)
_MOMENTS = Argument("seconds, 0 or more", _number(0), 0.0)
_COUNT = Argument("a whole number, 0 or more", _whole(0), 0)
_FRACTION = Argument("a number from 0 to 1", _number(0, 1), 0.0)
_ORDINALS = Argument("an ordinal from 1 or a list of them", _ordinals)
_FLAG = Argument("true or false", _truth, False)
_ANY_TEXT = Argument("text", _text)
_SELECTORS: Final = {
    "nth": _ORDINALS,
    "every": Argument("a whole number from 1", _whole(1)),
    "probability": Argument("a number from 0 to 1", _number(0, 1)),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault. event = the one route of a call fault that takes no `on`."""

    scope: Literal["call", "batch", "row"]
    arguments: Mapping[str, Argument]
    event: str = ""

    @property
    def selectors(self) -> dict[str, Argument]:
        """What says when it strikes. `nth` and `batch` mean the same ordinal, except for call faults."""
        match self.scope:
            case "call":
                return dict(_SELECTORS)
            case "batch":
                return {**_SELECTORS, "batch": _ORDINALS}
            case "row":
                return {**_SELECTORS, "batch": _ORDINALS, "rows": _ORDINALS}


def _call(event: str = "", /, **arguments: Argument) -> Kind:
    return Kind("call", arguments, event)


def _batch(**arguments: Argument) -> Kind:
    return Kind("batch", arguments)


def _row(**arguments: Argument) -> Kind:
    return Kind("row", arguments)


_STATUS = Argument("an HTTP status from 400 to 599", _whole(400, 599), required=True)
_ROW_STATUS = Argument(
    "an HTTP status from 400 to 599, or 0", lambda value: _whole(400, 599)(value) or _whole(0, 0)(value), 500
)

KINDS: Final[dict[str, Kind]] = {
    "lost_reply": _call(on=_several("batches.create", "files.create", "batches.cancel", "files.delete")),
    "reply_delay": _call(on=_several(*ROUTES), seconds=_SECONDS),
    "http_error": _call(
        on=_several(*ROUTES),
        status=_STATUS,
        code=_ANY_TEXT,
        message=_ANY_TEXT,
        retry_after=Argument("seconds, 0 or more", _number(0)),
        html=_FLAG,
        body=Argument("any value that JSON has", _json),
    ),
    "connection_reset": _call(on=_several(*ROUTES)),
    "spoilt_reply": _call(
        on=_several(*ROUTES), how=_one_of("html", "broken_json", "empty", "array", "wrapped", "text", required=True)
    ),
    "wrong_size": _call(
        on=_several("files.create", "files.retrieve"),
        by=Argument("bytes more (or, below 0, fewer) than there are", _whole(-(2**40)), required=True),
    ),
    "bare_ids": _call(on=_several("files.create", "batches.create")),
    "no_expiry": _call(
        on=_several("files.create", "batches.create"), how=_one_of("refused", "ignored", default="refused")
    ),
    "list_damaged": _call(
        "batches.list",
        how=_one_of(
            "null_data", "no_data", "error_object", "html", "repeat_page", "bare_array", "unordered", required=True
        ),
    ),
    "cut_download": _call(
        "files.content",
        bytes=Argument("bytes, 0 or more", _whole(0), required=True),
        with_length=Argument("true or false", _truth, True),
    ),
    "list_lag": _batch(seconds=_SECONDS),
    "duplicates_accepted": _batch(),
    "drop_metadata": _batch(**{"as": _one_of("null", "empty", default="null")}),
    "token_limit": _batch(
        tokens=Argument("tokens, 0 or more", _whole(0)),
        batches=Argument("batches, 0 or more", _whole(0)),
        shared=_FLAG,
        foreign_tokens=_COUNT,
        foreign_batches=_COUNT,
        foreign_seconds=_MOMENTS,
    ),
    "cannot_find_file": _batch(),
    "batch_failed": _batch(
        code=Argument("text", _text, required=True),
        line=Argument("a line from 1, or null", lambda value: value is None or _whole(1)(value)),
        message=_ANY_TEXT,
        param=_ANY_TEXT,
    ),
    "expire": _batch(fraction=_FRACTION),
    "cancel": _batch(fraction=_FRACTION),
    "quota_gone": _batch(after=Argument("rows, 0 or more", _whole(0), required=True)),
    "slow_cancel": _batch(seconds=_SECONDS),
    "status": _batch(value=Argument("text", _text, "paused_by_provider"), seconds=_SECONDS),
    "stuck": _batch(at=_one_of("validating", "in_progress", "finalizing", "cancelling", default="in_progress")),
    "result_file": _batch(
        which=_one_of("output", "error", required=True),
        **{"as": _one_of(None, "null", "absent", "empty_string", "empty_file", required=True)},
    ),
    "late_output": _batch(which=_one_of("output", "error", "both", default="output"), seconds=_SECONDS),
    "file_gone": _batch(which=_one_of("input", "output", "error", required=True), seconds=_MOMENTS),
    "output_purpose": _batch(value=Argument("text", _text, "batch")),
    "output_form": _batch(how=_several("no_final_newline", "byte_order_mark")),
    "dialect": _batch(how=_several(*DIALECTS)),
    "reply_field": _batch(
        name=Argument("the name of a field of a batch, other than id", _field_name, required=True),
        value=Argument("any value that JSON has", _json),
        absent=_FLAG,
    ),
    "missing_lines": _row(),
    "doubled_lines": _row(),
    "foreign_lines": _row(),
    "broken_lines": _row(),
    "blank_lines": _row(),
    "no_error_member": _row(),
    "row_error": _row(
        status=_ROW_STATUS,
        code=_ANY_TEXT,
        message=_ANY_TEXT,
        file=_one_of("error", "output", default="error"),
        without_response=_FLAG,
        form=_one_of("response", "no_response", "no_status", "message_only", "flat", default="response"),
    ),
    "row_outcome": _row(outcome=_one_of(*OUTCOMES, required=True)),
    "double_encoded": _row(),
    "line_endings": _row(
        crlf=Argument("true or false", _truth, True), separators=Argument("true or false", _truth, True)
    ),
}
