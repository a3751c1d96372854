"""The endpoints that answer at once: the same as of batches; and the list of models.

The same responder answers them as batches. The n-th call with the same body is its n-th draw, whoever makes it. What
they bill is counted apart from the rows of batches.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from batchflow.server.parameters import json_body
from batchflow.server.responder import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES, Ask, Responder
from batchflow.server.store import Store
from batchflow.server.validation import PROMPTS
from batchflow.server.wire import ApiError, Json, missing, wrong_type

_OK: Final = 200
_RELEASED: Final = 1_686_935_002  # unix seconds: when a model is said to have been made
_MODELS: Final = (
    *("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano"),
    *("text-embedding-3-small", "text-embedding-3-large", "omni-moderation-latest", "gpt-3.5-turbo-instruct"),
)


class Asked:
    """The account of what was asked and billed synchronously, per endpoint and body; it outlives the server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.write(
            "CREATE TABLE IF NOT EXISTS asked(endpoint TEXT, body BLOB, n INTEGER NOT NULL, billed INTEGER NOT NULL, "
            "PRIMARY KEY (endpoint, body)) WITHOUT ROWID"
        )

    def draw(self, endpoint: str, digest: bytes) -> int:
        """The ordinal of one more call with this body."""
        with self._store.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO asked VALUES (?, ?, 0, 0)", (endpoint, digest))
            connection.execute("UPDATE asked SET n = n + 1 WHERE endpoint = ? AND body = ?", (endpoint, digest))
            found = connection.execute("SELECT n FROM asked WHERE endpoint = ? AND body = ?", (endpoint, digest))
            return int(found.fetchone()[0])

    def bill(self, endpoint: str, digest: bytes) -> None:
        self._store.write("UPDATE asked SET billed = billed + 1 WHERE endpoint = ? AND body = ?", (endpoint, digest))

    def account(self) -> dict[str, Any]:
        """How many calls were billed, in all, per endpoint, and per body where it was more than once."""
        per_endpoint = dict(self._store.rows("SELECT endpoint, sum(billed) FROM asked GROUP BY 1 ORDER BY 1"))
        doubled = self._store.rows("SELECT lower(hex(body)), billed FROM asked WHERE billed > 1")
        return {
            "billed": sum(per_endpoint.values()),
            "by_endpoint": per_endpoint,
            "by_body": {"more_than_once": dict(doubled)},
        }


class Synchronous:
    """The handlers of these endpoints."""

    def __init__(self, store: Store, responder: Responder) -> None:
        self._clock = store.clock
        self._asked = Asked(store)
        self._responder = responder

    def handlers(self) -> dict[str, Callable[[Request], Awaitable[Response]]]:
        return {
            "chat.completions.create": self._answering(CHAT),
            "responses.create": self._answering(RESPONSES),
            "embeddings.create": self._answering(EMBEDDINGS),
            "moderations.create": self._answering(MODERATIONS),
            "completions.create": self._answering(COMPLETIONS),
            "models.list": self._list_models,
            "models.retrieve": self._retrieve_model,
        }

    def _answering(self, endpoint: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            raw = await request.body()
            body = json_body(raw)
            _check(body, endpoint)
            return await asyncio.to_thread(self._answer, endpoint, body, raw)

        return answer

    def _answer(self, endpoint: str, body: Mapping[str, Any], raw: bytes) -> Response:
        digest = Ask(body, raw, 1).digest
        draw = self._asked.draw(endpoint, digest)
        reply = self._responder.reply(Ask(body, raw, draw, endpoint=endpoint), int(self._clock.unix()))
        if reply.status == _OK:
            self._asked.bill(endpoint, digest)
        return Json(reply.body, reply.status)

    async def _list_models(self, request: Request) -> Response:  # noqa: ARG002 - everybody sees the same
        return Json({"object": "list", "data": [_model(name) for name in _MODELS]})

    async def _retrieve_model(self, request: Request) -> Response:
        """Any name will do: the simulator answers for every model."""
        return Json(_model(request.path_params["model"]))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _RELEASED, "owned_by": "simulated"}


def _check(body: Mapping[str, Any], endpoint: str) -> None:
    for name in ("model", PROMPTS[endpoint]):
        if body.get(name) is None:
            raise missing(name)
    if not isinstance(body["model"], str):
        raise wrong_type("model", "a string")
    if not body["model"]:
        raise ApiError(400, "you must provide a model parameter")
    if body.get("stream"):
        raise ApiError(
            400, "Streaming is not supported by the local server: leave 'stream' out.", "unsupported_value", "stream"
        )
