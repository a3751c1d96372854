"""What makes a batch fail before it runs: the Batch API's checks of an input file, line by line."""

from dataclasses import dataclass
from typing import Any, Final

from batchflow.server.lines import RequestLine, is_text, parse_line
from batchflow.server.responder import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES

MAX_ROWS: Final = 50_000
# where a request of each endpoint says what is asked
PROMPTS: Final = {
    CHAT: "messages",
    RESPONSES: "input",
    EMBEDDINGS: "input",
    MODERATIONS: "input",
    COMPLETIONS: "prompt",
}
_TITLES: Final = {
    CHAT: "Chat Completions",
    RESPONSES: "Responses",
    EMBEDDINGS: "Embeddings",
    MODERATIONS: "Moderations",
    COMPLETIONS: "Completions",
}
MAX_PROBLEMS: Final = 1_000  # kept per batch; whether the real API caps its list is unknown

Problem = dict[str, Any]


def problem(code: str, message: str, *, line: int | None = None, param: str | None = None) -> Problem:
    """One entry of a batch's errors; lines count from 1."""
    return {"code": code, "message": message, "line": line, "param": param}


@dataclass(frozen=True, slots=True)
class Checked:
    """A line that passed: custom_id, model, and the hash and size of its body."""

    custom_id: str
    model: str
    body_sha256: str
    body_size: int


def check_line(raw: bytes, number: int, *, endpoint: str, model: str | None) -> Checked | Problem:
    """The line as far as a batch needs it, or the first thing wrong with it. model = that of the first line."""
    try:
        line = parse_line(raw)
    except ValueError:
        return problem("invalid_json_line", "This line is not parseable as valid JSON.", line=number)
    fault = _members_fault(line.members, number) or _body_fault(line, number, endpoint, model)
    if fault:
        return fault
    body = line.members["body"]
    return Checked(line.members["custom_id"], body["model"], line.body_sha256, len(line.body_bytes))


def duplicate(custom_id: str, number: int) -> Problem:
    return problem(
        "duplicate_custom_id",
        f"The custom_id '{custom_id}' for this request is a duplicate of another request. "
        "The custom_id parameter must be unique for each request in a batch.",
        line=number,
        param="custom_id",
    )


def _missing(name: str, param: str, number: int) -> Problem:
    return problem("missing_required_parameter", f"Missing required parameter: '{name}'.", line=number, param=param)


def _members_fault(members: dict[str, Any], number: int) -> Problem | None:
    for name in ("custom_id", "method", "url", "body"):
        if members.get(name) is None:
            return _missing(name, name, number)
    for name, kind, said in (("custom_id", str, "a string"), ("body", dict, "an object")):
        if not isinstance(members[name], kind):
            return problem("invalid_type", f"Invalid type for '{name}': expected {said}.", line=number, param=name)
    if not is_text(members["custom_id"]):
        message = "Invalid value for 'custom_id': half a character (a lone surrogate) is no text."
        return problem("invalid_value", message, line=number, param="custom_id")
    if members["method"] != "POST":
        message = f"Invalid value: '{members['method']}'. Supported values are: 'POST'."
        return problem("invalid_value", message, line=number, param="method")
    return None


def _body_fault(line: RequestLine, number: int, endpoint: str, model: str | None) -> Problem | None:
    body = line.members["body"]
    if line.members["url"] != endpoint:
        message = "The URL provided for this request does not match the batch endpoint."
        return problem("invalid_url", message, line=number, param="url")
    for name in ("model", PROMPTS[endpoint]):
        if name not in body:
            return _missing(name, f"body.{name}", number)
    if not isinstance(body["model"], str) or not body["model"] or not is_text(body["model"]):
        message = f"The provided model '{body['model']}' is not supported by the Batch API."
        return problem("model_not_found", message, line=number, param="body.model")
    if model is not None and body["model"] != model:
        return problem(
            "mismatched_model",
            f"The model '{body['model']}' for this request does not match the rest of the batch. "
            "Each batch must contain requests for a single model.",
            line=number,
            param="body.model",
        )
    if body.get("stream"):
        message = f"{_TITLES[endpoint]}: Streaming is not supported in the Batch API."
        return problem("streaming_unsupported", message, line=number, param="body.stream")
    return None


def cannot_find_file(file_id: str) -> Problem:
    message = f"Cannot find file {file_id}, or organization org-simulated does not have access to it."
    return problem("invalid_request", message, param="file_id")


def empty_file() -> Problem:
    return problem("empty_file", "The input file contains no requests.")


def too_many_rows() -> Problem:
    return problem("too_many_tasks", f"The input file contains more than {MAX_ROWS:,} requests.")


def token_limit_exceeded(model: str, limit: int) -> Problem:
    return problem(
        "token_limit_exceeded",
        f"Enqueued token limit reached for {model} in organization org-simulated. Limit: {limit:,} enqueued tokens. "
        "Please try again once some in_progress batches have been completed.",
    )


_TOLD: Final = {
    "invalid_json_line": (None, "This line is not parseable as valid JSON."),
    "missing_required_parameter": ("body.messages", "Missing required parameter: 'messages'."),
    "invalid_url": ("url", "The URL provided for this request does not match the batch endpoint."),
    "model_not_found": ("body.model", "The provided model is not supported by the Batch API."),
    "mismatched_model": ("body.model", "The model for this request does not match the rest of the batch."),
    "duplicate_custom_id": ("custom_id", "The custom_id for this request is a duplicate of another request."),
    "streaming_unsupported": ("body.stream", "Chat Completions: Streaming is not supported in the Batch API."),
    "invalid_request": ("file_id", "Cannot find file, or organization org-simulated does not have access to it."),
    "token_limit_exceeded": (None, "Enqueued token limit reached in organization org-simulated."),
    "empty_file": (None, "The input file contains no requests."),
    "too_many_tasks": (None, f"The input file contains more than {MAX_ROWS:,} requests."),
    "billing_hard_limit_reached": (None, "Billing hard limit has been reached."),
    "insufficient_quota": (None, "You exceeded your current quota, please check your plan and billing details."),
}


def as_told(code: str, message: str | None, line: int | None, param: str | None) -> Problem:
    """The failure of a code, in the words of the real API where nothing else was asked for."""
    usual_param, usual = _TOLD.get(code, (None, f"The batch failed: {code}."))
    return problem(
        code, usual if message is None else message, line=line, param=usual_param if param is None else param
    )
