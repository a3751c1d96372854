"""Objects and errors as they stand on the wire."""

import json
from typing import Any

from starlette.responses import JSONResponse

from batchflow.server.store import StoredBatch, StoredFile


class Json(JSONResponse):
    """JSON in ASCII: half a character, which UTF-8 has no bytes for, goes out as it came in."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


class ApiError(Exception):
    """A refusal in the envelope of the real API; retry_after in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        *,
        kind: str = "invalid_request_error",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}


def missing(name: str) -> ApiError:
    return ApiError(400, f"Missing required parameter: '{name}'.", "missing_required_parameter", name)


def wrong_type(name: str, expected: str) -> ApiError:
    return ApiError(400, f"Invalid type for '{name}': expected {expected}.", "invalid_type", name)


def wrong_value(name: str, value: Any, supported: tuple[str, ...]) -> ApiError:
    known = " and ".join(f"'{one}'" for one in supported)
    return ApiError(400, f"Invalid value: '{value}'. Supported values are: {known}.", "invalid_value", name)


def no_such_file(file_id: str) -> ApiError:
    return ApiError(404, f"No such File object: {file_id}", None, "id")


def no_such_batch(batch_id: str) -> ApiError:
    return ApiError(404, f"No batch found with id '{batch_id}'.")


def file_object(stored: StoredFile) -> dict[str, Any]:
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.bytes,
        "created_at": stored.created_at,
        "expires_at": stored.expires_at,
        "filename": stored.filename,
        "purpose": stored.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_object(batch: StoredBatch) -> dict[str, Any]:
    problems = batch.problems if batch.status == "failed" else []
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model if batch.in_progress_at else None,
        "errors": {"object": "list", "data": problems} if problems else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": int(batch.created),
        "in_progress_at": _second(batch.in_progress_at),
        "expires_at": int(batch.expires),
        "finalizing_at": _second(batch.finalizing_at),
        "completed_at": _second(batch.completed_at),
        "failed_at": _second(batch.failed_at),
        "expired_at": _second(batch.expired_at),
        "cancelling_at": _second(batch.cancelling_at),
        "cancelled_at": _second(batch.cancelled_at),
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": {
            "input_tokens": batch.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": batch.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": batch.prompt_tokens + batch.completion_tokens,
        },
        "metadata": batch.labels,
    }


def _second(moment: float | None) -> int | None:
    return None if moment is None else int(moment)


def page(items: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }
