"""The OpenAPI document of the local Batch API: every route, parameter, answer and error it knows."""

from collections.abc import Mapping
from typing import Any, Final

from batchflow import __version__
from batchflow.server.fault_kinds import ROUTES
from batchflow.server.parameters import ENDPOINTS, PURPOSES, WINDOWS
from batchflow.server.store import UNFINISHED

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_MOMENT: Final[Schema] = {"type": ["integer", "null"], "description": "Unix seconds"}
_ENDED: Final = ("completed", "failed", "expired", "cancelled")
_FILE_NAME: Final = r"file-[A-Za-z0-9]+"
_REFUSALS: Final = {
    400: "What was asked is wrong.",
    401: "No key, or a wrong one.",
    403: "Another Host than this machine.",
    404: "There is no such thing.",
    405: "The route has no such method.",
    409: "The batch has ended.",
    413: "The file is too large.",
}
# events of the endpoints that answer at once: where their prompt stands, and the kind of their answer, if it has one
_AT_ONCE: Final = {
    "chat.completions.create": ("messages", "chat.completion"),
    "responses.create": ("input", "response"),
    "embeddings.create": ("input", "list"),
    "moderations.create": ("input", ""),
    "completions.create": ("prompt", "text_completion"),
}
_EVERYWHERE: Final = (400, 401, 403, 405)  # a client may say nonsense to any route


def document() -> Schema:
    """The whole document, OpenAPI 3.1."""
    paths: dict[str, Schema] = {}
    for event, operation in _operations().items():
        method, path = ROUTES[event].split(" ")
        paths.setdefault(path, {})[method.lower()] = {"operationId": event.replace(".", "_"), **operation}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "batchflow serve",
            "version": __version__,
            "description": "OpenAI's Files and Batches API on this machine. Its answers are SIMULATED.",
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(name: str) -> Schema:
    return _object(
        object={"const": "list"},
        data={"type": "array", "items": _ref(name)},
        first_id={"type": ["string", "null"]},
        last_id={"type": ["string", "null"]},
        has_more={"type": "boolean"},
    )


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _answers(schema: Schema, *refusals: int, kind: str = "application/json") -> Schema:
    said = {str(status): _refusal(status) for status in sorted({*_EVERYWHERE, *refusals})}
    return {"responses": {"200": {"description": "Done.", "content": {kind: {"schema": schema}}}, **said}}


def _refusal(status: int) -> Schema:
    return {"description": _REFUSALS[status], "content": {"application/json": {"schema": _ref("Error")}}}


def _in_query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _page(default: int, most: int) -> list[Schema]:
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return [_in_query("limit", limit), _in_query("after", _TEXT)]


def _operations() -> Mapping[str, Schema]:
    one_file, one_batch = {"parameters": [_in_path("file_id")]}, {"parameters": [_in_path("batch_id")]}
    order = _in_query("order", {"type": "string", "enum": ["asc", "desc"]})
    return {
        "files.create": {"requestBody": _upload(), **_answers(_ref("File"), 413)},
        "files.list": {
            "parameters": [*_page(10_000, 10_000), order, _in_query("purpose", _TEXT)],
            **_answers(_list_of("File"), 404),
        },
        "files.retrieve": {**one_file, **_answers(_ref("File"), 404)},
        "files.delete": {**one_file, **_answers(_ref("Deleted"), 404)},
        "files.content": _content(),
        "batches.create": {
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("NewBatch")}}},
            **_answers(_ref("Batch")),
        },
        "batches.list": {"parameters": _page(20, 100), **_answers(_list_of("Batch"), 404)},
        "batches.retrieve": {**one_batch, **_answers(_ref("Batch"), 404)},
        "batches.cancel": {**one_batch, **_answers(_ref("Batch"), 404, 409)},
        **{event: _asking(event, prompt, answer) for event, (prompt, answer) in _AT_ONCE.items()},
        "models.list": _answers(_object(object={"const": "list"}, data={"type": "array", "items": _ref("Model")})),
        "models.retrieve": {"parameters": [_in_path("model")], **_answers(_ref("Model"), 404)},
    }


# endpoints that take texts alone, and how many of them in one request
_MOST_TEXTS: Final = {"moderations.create": 32, "completions.create": 1}


def _asking(event: str, prompt: str, answer: str) -> Schema:
    """An endpoint that answers at once; what else its body may hold is the service's own reference to say."""
    asked: Schema = {"type": ["array", "string"], "minItems": 1}
    if event in _MOST_TEXTS:
        least = {"minLength": 1} if event == "completions.create" else {}
        asked |= {**least, "maxItems": _MOST_TEXTS[event], "items": {"type": "string", **least}}
    body = _object(model={"type": "string", "minLength": 1}, **{prompt: asked})
    said = {"object": {"const": answer}, "model": _TEXT, "usage": {"type": "object"}} if answer else {"model": _TEXT}
    content = {"application/json": {"schema": body}}
    return {"requestBody": {"required": True, "content": content}, **_answers(_object(**said))}


def _content() -> Schema:
    """A file, whole or in part."""
    kind = "application/octet-stream"
    part = {"name": "Range", "in": "header", "required": False, "schema": _TEXT}
    content = {"parameters": [_in_path("file_id"), part], **_answers({}, 404, kind=kind)}
    content["responses"]["206"] = {
        "description": "The part that Range names.",
        "content": {kind: {"schema": {}}, "multipart/byteranges": {"schema": {}}},
    }
    content["responses"]["416"] = {"description": "The file ends before the part that Range names."}
    return content


def _upload() -> Schema:
    fields = {
        "purpose": {"type": "string", "enum": list(PURPOSES)},
        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
    }
    schema = {"type": "object", "required": list(fields), "properties": fields}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _schemas() -> dict[str, Schema]:
    error = _object(message=_TEXT, type=_TEXT, param={"type": ["string", "null"]}, code={"type": ["string", "null"]})
    return {
        "Error": _object(error=error),
        "Deleted": _object(id=_TEXT, object={"const": "file"}, deleted={"const": True}),
        "File": _object(
            id={"type": "string", "pattern": _FILE_NAME}, object={"const": "file"}, bytes=_WHOLE, created_at=_WHOLE,
            expires_at=_MOMENT, filename=_TEXT, purpose=_TEXT, status=_TEXT, status_details={"type": "null"},
        ),
        "Model": _object(id=_TEXT, object={"const": "model"}, created=_WHOLE, owned_by=_TEXT),
        "NewBatch": _new_batch(),
        "Batch": _batch(),
    }  # fmt: skip


def _new_batch() -> Schema:
    expiry = _object(
        anchor={"const": "created_at"}, seconds={"type": "integer", "minimum": 3_600, "maximum": 2_592_000}
    )
    needed = {
        "input_file_id": _TEXT,
        "endpoint": {"type": "string", "enum": list(ENDPOINTS)},
        "completion_window": {"type": "string", "enum": list(WINDOWS)},
    }
    labels = {
        "type": ["object", "null"],
        "maxProperties": 16,
        "propertyNames": {"maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    }
    more = {
        "metadata": labels,
        "output_expires_after": {"anyOf": [{**expiry, "additionalProperties": False}, {"type": "null"}]},
    }
    return {**_object(**needed), "properties": needed | more, "additionalProperties": False}


def _batch() -> Schema:
    moments = ("in_progress", "expires", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    maybe: Schema = {"type": ["string", "null"]}
    problem = {"type": "object", "properties": {"code": maybe, "message": _TEXT, "line": _MOMENT, "param": maybe}}
    errors = _object(object={"const": "list"}, data={"type": "array", "items": problem})
    return _object(
        id={"type": "string", "pattern": r"^batch_"}, object={"const": "batch"}, endpoint=_TEXT, model=maybe,
        errors={"anyOf": [errors, {"type": "null"}]}, input_file_id=_TEXT, completion_window=_TEXT,
        status={"type": "string", "enum": [*UNFINISHED, *_ENDED]}, output_file_id=maybe, error_file_id=maybe,
        created_at=_WHOLE, request_counts=_object(total=_WHOLE, completed=_WHOLE, failed=_WHOLE),
        usage={"type": "object"}, metadata={"type": ["object", "null"]},
        **{f"{name}_at": _MOMENT for name in moments},
    )  # fmt: skip
