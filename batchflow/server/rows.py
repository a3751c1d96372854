"""Executing one line of a batch: ask the responder, commit the row faults, write the result line."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeAlias

from batchflow.server.faults import Faults, Rule
from batchflow.server.ledger import Executed, Fate
from batchflow.server.lines import parse_line
from batchflow.server.responder import Ask, Reply, Responder
from batchflow.server.store import StoredBatch

SEPARATORS: Final = " \u2028 \u2029 \u0085 "  # characters at which careless readers break lines

_EXPIRED: Final = ("batch_expired", "This request could not be executed before the completion window expired.")
_CANCELLED: Final = ("batch_cancelled", "This request was not executed because the batch was cancelled.")
_OK: Final = 200
_SERVER_FAULT: Final = 500
RESPONDER_BUG: Final = "bug of the responder"


Noted: TypeAlias = Callable[[str, str], None]  # a problem and its detail


@dataclass(frozen=True, slots=True)
class Row:
    """One line to execute; ordinal and draw count from 1 within its batch."""

    ordinal: int
    raw: bytes
    draw: int


class RowExecutor:
    """Executes the rows of one batch. noted: takes problems for the audit."""

    def __init__(
        self,
        batch: StoredBatch,
        responder: Responder,
        faults: Faults,
        created: int,
        *,
        noted: Callable[[str, str], None],
    ) -> None:
        self._batch, self._noted = batch, noted
        self._responder = responder
        self._faults = faults
        self._rules = faults.for_rows(batch.number)
        self._created = created

    def execute(self, row: Row) -> Executed:
        struck = self._struck(row.ordinal)
        line = parse_line(row.raw)
        custom_id = str(line.members["custom_id"])
        error = _first(struck, "row_error")
        if error is not None:
            written = _error_line(custom_id, self._identity(row), error)
            to_error, fate, reply = error["file"] == "error", Fate.FAULTED, Reply(0, {})
        else:
            outcome = _first(struck, "row_outcome")
            endings = _first(struck, "line_endings")
            suffix = SEPARATORS if endings is not None and endings["separators"] else ""
            ask = Ask(
                line.members["body"],
                line.body_bytes,
                row.draw,
                outcome["outcome"] if outcome else "",
                suffix,
                self._batch.endpoint,
            )
            reply = self._reply(ask)
            to_error = reply.status != _OK
            fate = Fate.FAULTED if to_error else Fate.EXECUTED
            written = _answer_line(
                custom_id, self._identity(row), reply, double=_first(struck, "double_encoded") is not None
            )
        return Executed(
            row.ordinal, fate, to_error, _spoilt(written, struck), reply.prompt_tokens, reply.completion_tokens
        )

    def _reply(self, ask: Ask) -> Reply:
        """The responder's answer; a bug of the responder costs this row, not the server and not its batch."""
        try:
            return self._responder.reply(ask, self._created)
        except Exception as bug:  # noqa: BLE001 - whatever it is, a restart would meet it again
            self._noted(RESPONDER_BUG, f"{type(bug).__name__}: {bug}")
            message = f"The local server could not make an answer: {type(bug).__name__}. This is a bug of batchflow."
            error = {"message": message, "type": "server_error", "param": None, "code": "responder_bug"}
            return Reply(_SERVER_FAULT, {"error": error})

    def _struck(self, ordinal: int) -> list[Rule]:
        if not self._rules:
            return self._rules
        return [rule for rule in self._rules if self._faults.row_strikes(rule, self._batch.number, ordinal)]

    def _identity(self, row: Row) -> str:
        return sha256(f"{self._batch.id}/{row.ordinal}".encode()).hexdigest()


def unexecuted_line(batch: StoredBatch, custom_id: str, *, cancelled: bool) -> bytes:
    """The error line of a row that was never reached."""
    code, message = _CANCELLED if cancelled else _EXPIRED
    identity = sha256(f"{batch.id}/{custom_id}".encode()).hexdigest()
    return _encoded(_line(custom_id, identity, None, {"code": code, "message": message}))


def _first(rules: Sequence[Rule], kind: str) -> Rule | None:
    return next((rule for rule in rules if rule.kind == kind), None)


def _line(custom_id: str, identity: str, response: Any, error: Any) -> dict[str, Any]:
    return {"id": f"batch_req_{identity[:32]}", "custom_id": custom_id, "response": response, "error": error}


def _response(status: int, identity: str, body: Any) -> dict[str, Any]:
    request_id = "-".join((identity[32:40], identity[40:44], identity[44:48], identity[48:52], identity[52:64]))
    return {"status_code": status, "request_id": request_id, "body": body}


def _answer_line(custom_id: str, identity: str, reply: Reply, *, double: bool) -> dict[str, Any]:
    body = json.dumps(reply.body) if double else reply.body
    return _line(custom_id, identity, _response(reply.status, identity, body), None)


_ERRORS: Final = {
    400: ("invalid_request_error", "invalid_prompt", "There was an issue with your request. Please check your inputs."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again later."),
}
_SERVER_ERROR: Final = ("server_error", None, "The server had an error processing your request. Sorry about that!")


def _error_line(custom_id: str, identity: str, rule: Rule) -> dict[str, Any]:
    kind, code, message = _ERRORS.get(rule["status"], _SERVER_ERROR)
    code = rule["code"] if rule["code"] is not None else code
    message = rule["message"] if rule["message"] is not None else message
    error = {"message": message, "type": kind, "param": None, "code": code}
    response = _response(rule["status"], identity, {"error": error})
    match "no_response" if rule["without_response"] else rule["form"]:
        case "no_response":
            return _line(custom_id, identity, None, {"code": code, "message": message})
        case "message_only":
            return {"custom_id": custom_id, "error": {"message": message}}
        case "flat":
            return {"custom_id": custom_id, "error": message}
        case "no_status":
            del response["status_code"]
    return _line(custom_id, identity, response, None)


def without_money(batch: StoredBatch, ordinal: int, custom_id: str) -> Executed:
    """A row for which the account had nothing left."""
    identity = sha256(f"{batch.id}/{ordinal}".encode()).hexdigest()
    message = "You exceeded your current quota, please check your plan and billing details."
    error = {"message": message, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
    written = _line(custom_id, identity, _response(429, identity, {"error": error}), None)
    return Executed(ordinal, Fate.FAULTED, True, _encoded(written))


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"


def _spoilt(line: dict[str, Any], struck: Sequence[Rule]) -> bytes:
    """The line as it goes to the file, after the faults that concern lines as such."""
    if not struck:
        return _encoded(line)
    kinds = {rule.kind for rule in struck}
    if "no_error_member" in kinds and line["error"] is None:
        line = {name: value for name, value in line.items() if name != "error"}
    endings = _first(struck, "line_endings")
    content = _encoded(line)
    if endings is not None and endings["separators"]:
        content = json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n"
    if endings is not None and endings["crlf"]:
        content = content[:-1] + b"\r\n"
    if "broken_lines" in kinds:
        content = content[: len(content) // 2] + b"\n"
    if "blank_lines" in kinds:
        content = b"\n" + content + b"  \r\n"
    if "missing_lines" in kinds:
        content = b""
    if "doubled_lines" in kinds:
        content += content
    if "foreign_lines" in kinds:
        content += _encoded({**line, "custom_id": f"foreign-{line['id'][-12:]}"})
    return content
