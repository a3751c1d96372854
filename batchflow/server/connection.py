"""Connections that can be cut, as a dying gateway would: uvicorn's own protocol, whose transports stay reachable."""

import asyncio
import socket
import struct
from typing import ClassVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """One client's connection; `transports` finds it again by the client's address."""

    transports: ClassVar[dict[tuple[str, int], asyncio.Transport]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            self.transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            self.transports.pop(self.client, None)
        super().connection_lost(exc)


class Cut(Response):
    """No proper reply: these raw bytes (none: nothing at all), and the connection is gone."""

    def __init__(self, raw: bytes = b"") -> None:
        super().__init__()
        self._raw = raw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        host, port = scope["client"]
        transport = Connection.transports.get((host, port))
        if transport is None:
            return  # the client was faster
        transport.write(self._raw)
        transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass


class Reset(Response):
    """No reply at all: the connection is reset, as by a server that died."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        host, port = scope["client"]
        transport = Connection.transports.get((host, port))
        if transport is None:
            return  # the client was faster
        opened = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close at once, by RST
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def cut_download(content: bytes, promised: int | None) -> Cut:
    """The beginning of a file, cut; with the length that was promised, or without a word about it."""
    length = b"" if promised is None else b"content-length: %d\r\n" % promised
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n" + length + b"connection: close\r\n\r\n"
    return Cut(head + content)
