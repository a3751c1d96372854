"""Who may come in: the Host must be this machine, unless others are invited; the bearer key must be right. Counts
visits, for the idle exit.
"""

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchflow import clock
from batchflow.server.ids import request_id
from batchflow.server.process import LOOPBACK
from batchflow.server.wire import ApiError, Json

_ONE_PROJECT: Final = "local"


class Gate:
    """Wraps the application. With a token there is one project; without one every key is a project of its own.

    invites: whether other machines may call; then any Host will do, and a token must be there.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        *,
        invites: bool = False,
        noted: Callable[[str, str], None] = lambda _problem, _detail: None,
    ) -> None:
        self._app = app
        self._invites = invites
        self._noted = noted
        self._token = token
        self._inside = 0
        self._last_visit = clock.monotonic()

    def idle_for(self) -> float:
        """Seconds since the last request ended; 0 while one is being served."""
        return 0.0 if self._inside else clock.monotonic() - self._last_visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = request_id().encode()

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", identity)]
            await send(message)

        self._inside += 1
        try:
            await self._enter(scope, receive, send_named)
        finally:
            self._inside -= 1
            self._last_visit = clock.monotonic()

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            if not self._invites:
                _check_host(headers.get(b"host", b"").decode("latin-1"))
            scope.setdefault("state", {})["project"] = self._project(headers.get(b"authorization", b""))
        except ApiError as refusal:
            self._noted("not let in", f"{refusal.status} {refusal.message}")
            await _drain(receive)
            await Json(refusal.body(), refusal.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _project(self, authorization: bytes) -> str:
        scheme, _, key = authorization.partition(b" ")
        key = key.strip()
        if scheme.lower() != b"bearer" or not key:
            raise ApiError(401, "You didn't provide an API key. Send it as a bearer token in the Authorization header.")
        if self._token is None:
            return sha256(key).hexdigest()[:32]
        if not hmac.compare_digest(key, self._token.encode()):
            raise ApiError(401, "Incorrect API key provided.", "invalid_api_key")
        return _ONE_PROJECT


async def _drain(receive: Receive) -> None:
    """Take what the client still sends, so that it gets to read the refusal."""
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)


def _check_host(host: str) -> None:
    """Another name in Host means that a web page was led here by its own name server."""
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    if name.lower() not in LOOPBACK:
        raise ApiError(
            403, "This server answers on the loopback interface only: use 127.0.0.1 or localhost.", "forbidden_host"
        )
