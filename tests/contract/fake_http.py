"""A loopback HTTP server that answers whatever a test scripts, and a small honest Batch API for what is not scripted.

It keeps every request it got: method, path, headers, body.
"""

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

FAST_RETRY = {"retry-after-ms": "1"}  # keeps the SDK's own back-off out of the tests' time


@dataclass(frozen=True)
class Reply:
    """cut: only so many bytes of the body are sent. length: whether Content-Length is told (of the whole body).
    drop: the connection is closed without a word. hang: seconds of silence before the answer.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    length: bool = True
    chunked: bool = False
    drop: bool = False
    hang: float = 0.0


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"content-type": "application/json"} | FAST_RETRY | headers)


def error(status: int, code: str | None = None, message: str = "it said so", **headers: str) -> Reply:
    return json_reply(
        {"error": {"message": message, "type": "some_type", "param": None, "code": code}}, status, **headers
    )


COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o-2024-05-13",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "futuristic"}, "finish_reason": "stop"}],
}
HTML = Reply(200, b"<html><body>Sign in to the network</body></html>", {"content-type": "text/html"})


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class FakeHttp:
    """`script` queues replies for a method and path; a path without replies left is answered by the honest API."""

    def __init__(self) -> None:
        self.reset()
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.port = 0

    def reset(self) -> None:
        """Forget everything that was asked, scripted and stored."""
        self.asked: list[Asked] = []
        self._scripts: dict[tuple[str, str], list[Reply]] = defaultdict(list)
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._made = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, method: str, path: str, *replies: Reply) -> None:
        self._scripts[method, f"/v1{path}"] += replies

    def count(self, method: str, path: str) -> int:
        return sum((one.method, one.path) == (method, f"/v1{path}") for one in self.asked)

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            scripted = self._scripts[asked.method, asked.path]
            return scripted.pop(0) if scripted else self._honest(asked)

    def _honest(self, asked: Asked) -> Reply:
        parts = asked.path.removeprefix("/v1/").split("/")
        reply = error(404, None, f"No such thing: {asked.path}")
        match asked.method, parts:
            case "POST", ["files"]:
                reply = self._upload(asked)
            case "GET", ["files"]:
                reply = self._page([stored for stored, _ in self._files.values()], asked.query)
            case "DELETE", ["files", name] if name in self._files:
                del self._files[name]
                reply = json_reply({"id": name, "object": "file", "deleted": True})
            case "POST", ["chat", "completions"]:
                reply = json_reply(COMPLETION)
            case "GET", ["files", name] if name in self._files:
                reply = json_reply(self._files[name][0])
            case "GET", ["files", name, "content"] if name in self._files:
                reply = Reply(200, self._files[name][1], {"content-type": "application/octet-stream"})
            case "POST", ["batches"]:
                reply = self._create(asked.json())
            case "GET", ["batches"]:
                reply = self._page(list(self._batches.values()), asked.query)
            case "GET", ["batches", name] if name in self._batches:
                reply = json_reply(self._batches[name])
        return reply

    def _store(self, content: bytes) -> dict[str, Any]:
        self._made += 1
        name = f"file-{self._made}"
        described = {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": 1_700_000_000,
            "purpose": "batch",
        }
        self._files[name] = (described, content)
        return described

    def _upload(self, asked: Asked) -> Reply:
        boundary = asked.headers.get_param("boundary")
        assert isinstance(boundary, str)
        part = next(one for one in asked.body.split(f"--{boundary}".encode()) if b'name="file"' in one)
        return json_reply(self._store(part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")))

    def _create(self, body: dict[str, Any]) -> Reply:
        source = [json.loads(line) for line in self._files[body["input_file_id"]][1].splitlines()]
        lines = [
            {"id": "x", "custom_id": one["custom_id"], "response": {"status_code": 200, "body": {}}} for one in source
        ]
        output = self._store(b"".join(json.dumps(one).encode() + b"\n" for one in lines))
        name = f"batch_{len(self._batches) + 1}"
        self._batches[name] = {
            "id": name, "object": "batch", "status": "completed", "created_at": 1_700_000_100 + len(self._batches),
            "output_file_id": output["id"], "error_file_id": None, "errors": None, **body,
            "request_counts": {"total": len(lines), "completed": len(lines), "failed": 0},
        }  # fmt: skip
        return json_reply(self._batches[name])

    def _page(self, oldest_first: list[dict[str, Any]], query: dict[str, list[str]]) -> Reply:
        newest = oldest_first[::-1]
        ids = [one["id"] for one in newest]
        start = ids.index(query["after"][0]) + 1 if "after" in query else 0
        limit = int(query["limit"][0])
        shown = newest[start : start + limit]
        return json_reply({"object": "list", "data": shown, "has_more": start + limit < len(newest)})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0)) or self._chunks()
        asked = Asked(self.command, parts.path, parse_qs(parts.query), self.headers, body)
        self._send(self.server.fake.answer(asked))

    def _chunks(self) -> bytes:
        body = b""
        while self.headers.get("transfer-encoding") == "chunked":
            piece = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            if not piece:
                break
            body += piece
        return body

    def _send(self, reply: Reply) -> None:
        self.server.fake.stop.wait(reply.hang)
        self.close_connection = True
        if reply.drop:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("transfer-encoding", "chunked")
        elif reply.length:
            self.send_header("content-length", str(len(reply.body)))
        self.send_header("connection", "close")
        self.end_headers()
        sent = reply.body[: reply.cut]
        self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n" if reply.chunked else sent)
        if reply.chunked and reply.cut is None:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Tests are quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, fake: FakeHttp) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = fake

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


@contextmanager
def serving(fakes: Sequence[FakeHttp]) -> Iterator[None]:
    """Let the fakes answer on loopback ports of their own until the block ends."""
    servers = [_Server(fake) for fake in fakes]
    for fake, server in zip(fakes, servers, strict=True):
        fake.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield
    finally:
        for fake, server in zip(fakes, servers, strict=True):
            fake.stop.set()
            server.shutdown()
            server.server_close()
