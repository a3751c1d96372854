"""A plain HTTP client of the Batch API, for tests that look at the wire itself."""

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.server_process import ServerProcess

ENDED = {"completed", "failed", "expired", "cancelled"}


def line(number: int, *, text: str | None = None, model: str = "gpt-4o", **members: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": text or f"Question {number}?"}]}
    return {"custom_id": f"r-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body} | members


def file_of(lines: Sequence[Any]) -> bytes:
    return b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines)


class Client:
    def __init__(self, server: ServerProcess, key: str | None = None) -> None:
        headers = {"authorization": f"Bearer {key or server.key}"}
        self.http = httpx2.Client(base_url=server.base_url, headers=headers, timeout=30)

    def upload(self, lines: Sequence[Any], name: str = "in.jsonl", **fields: str) -> httpx2.Response:
        return self.http.post("/files", data={"purpose": "batch", **fields}, files={"file": (name, file_of(lines))})

    def create(self, file_id: str, **changes: Any) -> httpx2.Response:
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"} | changes
        return self.http.post("/batches", json=body)

    def start(self, lines: Sequence[Any], **changes: Any) -> dict[str, Any]:
        return dict(self.create(self.upload(lines).json()["id"], **changes).json())

    def batch(self, batch_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/batches/{batch_id}").json())

    def wait(self, batch_id: str, *, until: set[str] | None = None, patience: float = 20) -> dict[str, Any]:
        end = time.monotonic() + patience
        while (batch := self.batch(batch_id))["status"] not in (until or ENDED):
            assert time.monotonic() < end, batch
            time.sleep(0.01)
        return batch

    def run(self, lines: Sequence[Any], **changes: Any) -> dict[str, Any]:
        return self.wait(self.start(lines, **changes)["id"])

    def content(self, file_id: str | None) -> bytes:
        return b"" if file_id is None else self.http.get(f"/files/{file_id}/content").content

    def results(self, file_id: str | None) -> list[dict[str, Any]]:
        return [json.loads(one) for one in self.content(file_id).split(b"\n") if one.strip()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
