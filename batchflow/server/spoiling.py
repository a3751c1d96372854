"""The faults of calls: what stands in the way of a handler, and what spoils its reply after the work was done."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import HTMLResponse, Response

from batchflow.server.connection import Cut, Reset
from batchflow.server.faults import Rule
from batchflow.server.wire import ApiError, Json

_HTML: Final = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_GATEWAY: Final = "502 Bad Gateway"


def prevented(rule: Rule) -> Response | None:
    """The answer in place of the work; None where the rule lets it be done."""
    match rule.kind:
        case "http_error":
            return _http_error(rule)
        case "connection_reset":
            return Reset()
    return None


def _http_error(rule: Rule) -> Response:
    kind = "server_error" if rule["status"] >= 500 else "invalid_request_error"  # noqa: PLR2004 - HTTP
    message = rule["message"] if rule["message"] is not None else f"Simulated error {rule['status']}."
    error = ApiError(rule["status"], message, rule["code"], kind=kind, retry_after=rule["retry_after"])
    if rule["html"]:
        return HTMLResponse(_HTML.format(f"{error.status} {message}"), error.status, headers=error.headers())
    body = error.body() if rule["body"] is None else rule["body"]
    return Json(body, error.status, headers=error.headers())


def spoilt(rules: Mapping[str, Rule], response: Response) -> Response:
    """The reply as the client gets it."""
    if "lost_reply" in rules:
        return Cut()
    if "spoilt_reply" in rules:
        return _garbled(rules["spoilt_reply"]["how"], bytes(response.body) if hasattr(response, "body") else b"")
    if "wrong_size" in rules and response.status_code == 200:  # noqa: PLR2004 - HTTP
        told = json.loads(bytes(response.body))
        return Json({**told, "bytes": told["bytes"] + rules["wrong_size"]["by"]})
    return response


def _garbled(how: str, body: bytes) -> Response:
    match how:
        case "html":
            return HTMLResponse(_HTML.format("Welcome"))
        case "broken_json":
            return Response(body[: len(body) // 2] or b'{"id": ', media_type="application/json")
        case "empty":
            return Response(b"", media_type="application/json")
        case "array":
            return Response(b"[" + (body or b"{}") + b"]", media_type="application/json")
        case "wrapped":
            return Response(b'{"job":' + (body or b"{}") + b',"warning":null}', media_type="application/json")
        case "text":
            return Response(b"upstream connect error", media_type="text/plain")
    raise AssertionError(how)


def damaged(listed: dict[str, Any], how: str | None) -> Response:
    """A page of a list, damaged as told; None leaves it whole."""
    content: Any = listed
    match how:
        case "html":
            return HTMLResponse(_HTML.format(_GATEWAY))
        case "null_data":
            content = {**listed, "data": None, "has_more": False}
        case "no_data":
            content = {name: value for name, value in listed.items() if name != "data"}
        case "error_object":
            content = {"error": {"message": "upstream error", "type": "server_error", "param": None, "code": None}}
        case "bare_array":
            content = listed["data"]
        case "unordered":  # newest second first, within one the wrong way round
            data = list(reversed(listed["data"]))
            data.sort(key=lambda batch: str(batch["created_at"]), reverse=True)
            content = {**listed, "data": data}
    return Json(content)
