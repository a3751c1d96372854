"""The fault matrix: what a provider can do to a run, one case each; the server commits it, the program meets it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Rule = dict[str, Any]
_MONEY: Final = {"status": 429, "code": "insufficient_quota", "message": "You exceeded your current quota"}


@dataclass(frozen=True)
class Case:
    """runs = the most processes one after the other, until one ends with 0; provider_lost = executed rows whose lines
    the provider did not give; interrupt = seconds after which the user gives up a run that cannot end.
    """

    name: str
    faults: Sequence[Rule]
    study: dict[str, Any] = field(default_factory=dict)
    runs: int = 1
    provider_lost: int = 0
    interrupt: float | None = None
    fast: bool = False


def _call(kind: str, on: str | list[str], /, **more: Any) -> Rule:
    return {"fault": kind, "on": on, **more}


def _error(on: str | list[str], status: int, /, **more: Any) -> Rule:
    return _call("http_error", on, status=status, **more)


def _cut(**more: Any) -> Rule:
    return {"fault": "cut_download", "bytes": 700, **more}


CREATE: Final = "batches.create"
RETRIEVE: Final = "batches.retrieve"
LIST: Final = "batches.list"
UPLOAD: Final = "files.create"
CONTENT: Final = "files.content"

CREATING: Final = (
    Case("the reply to a create is lost after the work", [_call("lost_reply", CREATE, nth=1)], fast=True),
    Case("the reply to every create is lost", [_call("lost_reply", CREATE)]),
    Case(
        "the reply is lost, and the list shows the batch later",
        [_call("lost_reply", CREATE, nth=1), {"fault": "list_lag", "seconds": 0.5}],
        {"settle": "1s", "delay": 2.0},
    ),
    Case(
        "the reply is lost, and the provider forgets metadata",
        [_call("lost_reply", CREATE, nth=2), {"fault": "drop_metadata"}],
    ),
    Case("the connection is reset before a create", [_call("connection_reset", CREATE, nth=1)], fast=True),
    Case("500 to a create", [_error(CREATE, 500, nth=1)]),
    Case("502 with an HTML page to a create", [_error(CREATE, 502, nth=1, html=True)]),
    Case("429 with Retry-After 1 s to creates", [_error(CREATE, 429, nth=[1, 2], retry_after=1)]),
    Case("409 to a create", [_error(CREATE, 409, nth=1)]),
    Case("200 with HTML after a create", [_call("spoilt_reply", CREATE, nth=1, how="html")], fast=True),
    Case("200 with broken JSON after a create", [_call("spoilt_reply", CREATE, nth=1, how="broken_json")]),
    Case("200 with an empty body after a create", [_call("spoilt_reply", CREATE, nth=1, how="empty")]),
    Case("401 in the middle", [_error(CREATE, 401, nth=2)], runs=2),
    Case("403 in the middle", [_error(CREATE, 403, nth=2)], runs=2),
    Case("no money at a create", [{**_error(CREATE, 429, nth=1), **_MONEY}], runs=2),
    Case("ids without prefixes", [_call("bare_ids", [UPLOAD, CREATE])]),
)

LISTING: Final = (
    *(
        Case(
            f"a create in doubt, and the list {words}",
            [_call("lost_reply", CREATE, nth=1), {"fault": "list_damaged", "how": how, "nth": [1, 2]}],
        )
        for how, words in (
            ("null_data", "says `data: null`"),
            ("no_data", "has no `data`"),
            ("error_object", "is an error with status 200"),
            ("html", "is an HTML page"),
            ("bare_array", "is a bare array"),
            ("unordered", "is out of order within a second"),
        )
    ),
    Case(
        "a create in doubt, statuses in upper case, dates as text, ids without prefixes",
        [
            _call("lost_reply", CREATE, nth=1),
            _call("bare_ids", [UPLOAD, CREATE]),
            {"fault": "dialect", "how": ["uppercase_status", "rfc3339_dates", "unset_omitted"]},
        ],
    ),
    Case(
        "a create in doubt, and every list is damaged",
        [_call("lost_reply", CREATE, nth=1), {"fault": "list_damaged", "how": "null_data"}],
        {"settle": "0.2s"},
        interrupt=8.0,
    ),
    Case(
        "a create in doubt, and lists answer 500",
        [_call("lost_reply", CREATE, nth=1), _error(LIST, 500, nth=[1, 2, 3])],
    ),
)

UPLOADING: Final = (
    Case("the reply to an upload is lost", [_call("lost_reply", UPLOAD, nth=1)]),
    Case("an upload is answered by 500", [_error(UPLOAD, 500, nth=[1, 2, 3, 4])]),
    Case("an upload is answered by 413", [_error(UPLOAD, 413, nth=[1])], runs=2),
    Case("an upload's size is told wrongly", [_call("wrong_size", UPLOAD, nth=1, by=-7)], runs=2, fast=True),
    Case("an upload is answered by broken JSON", [_call("spoilt_reply", UPLOAD, nth=1, how="broken_json")]),
)

VALIDATING: Final = (
    Case("validation cannot find the uploaded file", [{"fault": "cannot_find_file", "nth": 1}]),
    Case("the queue holds one batch", [{"fault": "token_limit", "batches": 1}], fast=True),
    Case(
        "the queue is full of other people's batches",
        [{"fault": "token_limit", "batches": 2, "foreign_batches": 2, "foreign_seconds": 1.0}],
    ),
    *(
        Case(f"validation fails: {code}", [{"fault": "batch_failed", "code": code, "nth": 1, "line": number}], runs=2)
        for code, number in (
            ("invalid_json_line", 2),
            ("missing_required_parameter", 2),
            ("invalid_url", 1),
            ("model_not_found", 1),
            ("mismatched_model", 3),
            ("duplicate_custom_id", 4),
            ("streaming_unsupported", 1),
            ("empty_file", None),
            ("too_many_tasks", None),
            ("billing_hard_limit_reached", None),
        )
    ),
)

LIVING: Final = (
    Case("an unknown status: paused_by_provider", [{"fault": "status", "seconds": 1.0}]),
    Case("an extra status: scheduling", [{"fault": "status", "value": "scheduling", "seconds": 1.0}], fast=True),
    Case("statuses in upper case", [{"fault": "dialect", "how": "uppercase_status"}], fast=True),
    Case("unset fields are left out", [{"fault": "dialect", "how": "unset_omitted"}]),
    Case("timestamps are never set", [{"fault": "dialect", "how": "no_timestamps"}]),
    Case("dates as RFC 3339 text", [{"fault": "dialect", "how": "rfc3339_dates"}]),
    Case("request_counts is null", [{"fault": "dialect", "how": "counts_null"}]),
    Case("request_counts is absent", [{"fault": "dialect", "how": "counts_absent"}]),
    Case("request_counts stays 0, 0, 0", [{"fault": "dialect", "how": "counts_zero"}]),
    Case("completion_window comes back as 1d", [{"fault": "dialect", "how": "window_1d"}]),
    Case("errors is absent", [{"fault": "reply_field", "name": "errors", "absent": True}]),
    Case("a poll is answered by HTML", [_call("spoilt_reply", RETRIEVE, nth=[1, 2], how="html")]),
    Case("a poll is answered by 503", [_error(RETRIEVE, 503, nth=[1, 2, 3, 4])]),
    Case("a poll's connection is reset", [_call("connection_reset", RETRIEVE, nth=[1, 2, 3])]),
    Case("a batch is 404 for a moment", [_error(RETRIEVE, 404, nth=1)], runs=2),
    Case("the input file is gone while the batch lives", [{"fault": "file_gone", "which": "input"}]),
    Case("a batch never moves", [{"fault": "stuck", "nth": 1}], interrupt=4.0),
    Case("a batch is finalizing for good", [{"fault": "stuck", "nth": 1, "at": "finalizing"}], interrupt=4.0),
)

ENDING: Final = (
    Case("a batch expires after half of its rows", [{"fault": "expire", "fraction": 0.5, "nth": 1}], fast=True),
    Case("a batch expires before its first row", [{"fault": "expire", "nth": 1}]),
    Case("a batch is cancelled from elsewhere, half done", [{"fault": "cancel", "fraction": 0.5, "nth": 1}]),
    Case("no money left after 7 rows", [{"fault": "quota_gone", "after": 7}]),
    Case("all rows fail with 400", [{"fault": "row_error", "status": 400}], fast=True),
    Case("all rows of a batch fail with 500", [{"fault": "row_error", "status": 500, "batch": 1}]),
    Case("rows fail with 429", [{"fault": "row_error", "status": 429, "rows": [2, 3], "batch": 1}]),
    Case("rows fail with status 0", [{"fault": "row_error", "status": 0, "rows": 2, "batch": 1}]),
    *(
        Case(f"error lines {words}", [{"fault": "row_error", "form": form, "rows": 2, "batch": 1}])
        for form, words in (
            ("no_response", "without a response"),
            ("no_status", "without a status"),
            ("message_only", "with a message alone"),
            ("flat", "that are a text"),
        )
    ),
    Case("result files come late", [{"fault": "late_output", "which": "both", "seconds": 1.0}]),
    Case("the output file's id is never told", [{"fault": "result_file", "which": "output", "as": "null"}]),
    Case("the output file is empty", [{"fault": "result_file", "which": "output", "as": "empty_file"}]),
    Case("the error file's id is an empty text", [{"fault": "result_file", "which": "error", "as": "empty_string"}]),
    Case("the error file is empty", [{"fault": "result_file", "which": "error", "as": "empty_file"}]),
    Case("the error file's id is absent", [{"fault": "result_file", "which": "error", "as": "absent"}]),
    Case("the output file is gone at once", [{"fault": "file_gone", "which": "output", "nth": 1}]),
    Case("result files are listed under purpose batch", [{"fault": "output_purpose"}]),
)

READING: Final = (
    Case("a download is cut, its length known", [_cut(nth=[1, 2])]),
    Case("a download is cut without a word", [_cut(nth=1, with_length=False)], fast=True),
    Case("a download is answered by 503", [_error(CONTENT, 503, nth=[1, 2, 3, 4])]),
    Case("a download is an HTML page", [_call("spoilt_reply", CONTENT, nth=1, how="html")], runs=2),
    Case("lines are missing", [{"fault": "missing_lines", "rows": [2, 3], "batch": 1}], provider_lost=2, fast=True),
    Case("lines come twice", [{"fault": "doubled_lines"}]),
    Case("lines of others are among them", [{"fault": "foreign_lines"}]),
    Case("a line is broken", [{"fault": "broken_lines", "rows": 2, "batch": 1}], provider_lost=1),
    Case("blank lines between", [{"fault": "blank_lines"}]),
    Case("bodies are encoded twice", [{"fault": "double_encoded"}]),
    Case("CRLF, and characters that split lines elsewhere", [{"fault": "line_endings"}]),
    Case("no newline at the end", [{"fault": "output_form", "how": "no_final_newline"}]),
    Case("a byte order mark at the beginning", [{"fault": "output_form", "how": "byte_order_mark"}]),
    Case("success lines without `error`", [{"fault": "no_error_member"}]),
    *(
        Case(f"answers that are {outcome}", [{"fault": "row_outcome", "outcome": outcome, "rows": 2, "batch": 1}])
        for outcome in ("refusal", "truncated", "filtered", "empty")
    ),
)

CASES: Final[tuple[Case, ...]] = (*CREATING, *LISTING, *UPLOADING, *VALIDATING, *LIVING, *ENDING, *READING)
