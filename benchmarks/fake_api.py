"""The least server that a provider class can talk to: a list of many batches, a sink for files, a source of bytes.

It is measured by nobody, so it only has to be quick. GET /count tells how many pages it has given.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE, Popen
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from benchmarks.measuring import PYTHON, environment

PAGE: Final = 100
PIECE: Final = bytes(1 << 20)
_FIRST_MOMENT: Final = 1_795_914_051
_CONTENT: Final = re.compile(r"/v1/files/(\d+)/content")


def batch_id(number: int) -> str:
    return f"batch_{number:032x}"


def created_at(number: int) -> float:
    return float(_FIRST_MOMENT + number)


def _batch(number: int) -> dict[str, Any]:
    absent = ("output_file_id", "error_file_id", "errors", "completed_at", "failed_at", "expired_at", "cancelled_at")
    return {
        "id": batch_id(number),
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": f"file-{number:022x}",
        "completion_window": "24h",
        "status": "in_progress",
        "created_at": int(created_at(number)),
        "in_progress_at": int(created_at(number)) + 5,
        "expires_at": int(created_at(number)) + 86_400,
        "request_counts": {"total": 50_000, "completed": 1_000, "failed": 0},
        "metadata": {"batchflow_run": "bench-0123abcd", "batchflow_shard": f"r1-{number:05}"},
        **dict.fromkeys(absent),
    }


@cache
def _page(newest: int) -> bytes:
    """The page that begins with a batch, newest first."""
    shown = range(newest, max(newest - PAGE, 0), -1)
    record = {"object": "list", "data": [_batch(number) for number in shown], "has_more": newest > PAGE}
    return json.dumps(record).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and its body are two writes
    batches = 0
    pages = 0

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        content = _CONTENT.fullmatch(url.path)
        if content:
            self._send_bytes(int(content[1]))
        elif url.path == "/v1/batches":
            Handler.pages += 1
            after = parse_qs(url.query).get("after")
            self._send_json(_page(int(after[0].removeprefix("batch_"), 16) - 1 if after else self.batches))
        else:
            self._send_json(json.dumps({"pages": Handler.pages}).encode())

    def do_POST(self) -> None:
        size = left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, len(PIECE))))
        record = {"id": "file-1", "object": "file", "bytes": size, "created_at": _FIRST_MOMENT, "filename": "r.jsonl"}
        self._send_json(json.dumps(record | {"purpose": "batch"}).encode())

    def _head(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _send_json(self, content: bytes) -> None:
        self._head(len(content))
        self.wfile.write(content)

    def _send_bytes(self, size: int) -> None:
        self._head(size)
        while size:
            size -= self.wfile.write(PIECE[: min(size, len(PIECE))])

    def log_message(self, format: str, *values: Any) -> None:  # noqa: A002 - the name of the base class
        """Nobody reads it."""


@contextmanager
def serving(batches: int) -> Iterator[str]:
    """The port, as a word, of a server in a process of its own."""
    words = [PYTHON, "-m", "benchmarks.fake_api", str(batches)]
    with Popen(words, stdout=PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    Handler.batches = int(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
