"""The routes of the Files and Batches API, each counted, with the faults that strike its calls."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from batchflow.files import ShardFile
from batchflow.server.connection import cut_download
from batchflow.server.disguise import gone, shown
from batchflow.server.fault_kinds import ROUTES
from batchflow.server.faults import OWN_FAULTS, Faults, Rule, faults_of_batch
from batchflow.server.ids import bare, batch_id, file_id
from batchflow.server.ledger import Ledger
from batchflow.server.observer import Observer
from batchflow.server.openapi import document
from batchflow.server.parameters import DAY, batch_values, check_upload, is_range, limit_of, upload_expiry
from batchflow.server.responder import Responder
from batchflow.server.spoiling import damaged, prevented, spoilt
from batchflow.server.store import Store, StoredBatch, StoredFile
from batchflow.server.synchronous import Synchronous
from batchflow.server.upload import UploadParser
from batchflow.server.wire import ApiError, Json, file_object, no_such_batch, no_such_file, page, wrong_value

Handler = Callable[[Request], Awaitable[Response]]

METHOD_NOT_ALLOWED = 405
_MONTH = 30 * DAY


def _route(place: str, handler: Handler) -> Route:
    method, path = place.split(" ")
    route = Route(path, handler, methods=[method])
    route.methods = {method}  # it adds HEAD to every GET by itself
    return route


class _Download(FileResponse):
    chunk_size = 256 * 1024

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A Range that is none is as good as none, by HTTP's own rule."""
        headers = [pair for pair in scope["headers"] if pair[0] != b"range" or is_range(pair[1])]
        await super().__call__({**scope, "headers": headers}, receive, send)


class Api:
    """The handlers. wake = tell the worker that there is something to do; stop = end the server; about = who we are."""

    def __init__(
        self,
        store: Store,
        responder: Responder,
        faults: Faults,
        *,
        wake: Callable[[], None],
        stop: Callable[[], None],
        about: dict[str, Any],
    ) -> None:
        self._store = store
        self._ledger = Ledger(store)
        self._synchronous = Synchronous(store, responder)
        self._faults = faults
        self._observer = Observer(store)
        self._wake = wake
        self._stop = stop
        self._about = about

    def application(self) -> Starlette:
        handlers: dict[str, Handler] = {
            "files.create": self._create_file,
            "files.list": self._list_files,
            "files.retrieve": self._retrieve_file,
            "files.delete": self._delete_file,
            "files.content": self._content,
            "batches.create": self._create_batch,
            "batches.list": self._list_batches,
            "batches.retrieve": self._retrieve_batch,
            "batches.cancel": self._cancel_batch,
            **self._synchronous.handlers(),
        }
        served = {ROUTES[event]: self._struck(event, handler) for event, handler in handlers.items()}
        served |= {
            "GET /openapi.json": self._described,
            "GET /admin/health": self._health,
            "GET /admin/audit": self._audit,
            "POST /admin/shutdown": self._shutdown,
        }
        app = Starlette(
            routes=[_route(place, handler) for place, handler in served.items()],
            exception_handlers={ApiError: _refused, HTTPException: _no_route},
        )
        app.router.redirect_slashes = False
        return app

    def _struck(self, event: str, handler: Handler) -> Handler:
        """The handler, counted, between the faults that prevent its work and those that spoil its reply."""

        async def call(request: Request) -> Response:
            ordinal = self._store.count_call(ROUTES[event])
            rules = list(self._faults.on_call(event, ordinal))
            for answer in filter(None, map(prevented, rules)):
                await _drain(request)
                return answer
            request.state.rules = {rule.kind: rule for rule in rules}
            await self._observer.look(event, request)
            try:
                response = await handler(request)
            except ApiError as refusal:
                self._observer.refused(event, refusal.status, refusal.message)
                raise
            for rule in rules:
                if rule.kind == "reply_delay":
                    await asyncio.sleep(rule["seconds"])
            return spoilt(request.state.rules, response)

        return call

    def _file(self, request: Request, identity: str) -> StoredFile:
        stored = self._store.file(request.state.project, identity, self._store.clock.unix())
        if stored is None or gone(self._faults, self._store, identity):
            raise no_such_file(identity)
        return stored

    def _batch(self, request: Request) -> StoredBatch:
        identity = request.path_params["batch_id"]
        batch = self._store.batch(request.state.project, identity)
        if batch is None:
            raise no_such_batch(identity)
        return batch

    async def _create_file(self, request: Request) -> Response:
        identity = bare(file_id()) if "bare_ids" in request.state.rules else file_id()
        shard = ShardFile(self._store.path_of(identity))
        try:
            parser = UploadParser(request.headers.get("content-type", ""), shard.write)
            async for piece in request.stream():
                parser.feed(piece)
            parser.finish()
        except ClientDisconnect:
            shard.discard()
            return Response(status_code=400)  # nobody is there to read it
        except ApiError:
            shard.discard()
            await _drain(request)
            raise
        await asyncio.to_thread(shard.close)
        try:
            stored = self._keep(request, parser, shard)
        except ApiError:
            shard.path.unlink()
            raise
        return Json(file_object(stored))

    def _keep(self, request: Request, parser: UploadParser, shard: ShardFile) -> StoredFile:
        filename = parser.filename or ""
        with shard.path.open("rb") as handle:
            check_upload(parser.fields, filename, shard.bytes, handle.readline())
        seconds = _allowed_expiry(request, upload_expiry(parser.fields), "expires_after")
        purpose = parser.fields["purpose"]
        if seconds is None and purpose == "batch":
            seconds = _MONTH
        now = int(self._store.clock.unix())
        expires = None if seconds is None else now + seconds
        return self._store.add_file(
            shard.path.name,
            request.state.project,
            size=shard.bytes,
            created=now,
            expires=expires,
            filename=filename,
            purpose=purpose,
        )

    async def _list_files(self, request: Request) -> Response:
        query = request.query_params
        limit = limit_of(query, most=10_000, default=10_000)
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise wrong_value("order", order, ("asc", "desc"))
        after = query.get("after")
        found = self._store.list_files(
            request.state.project,
            purpose=query.get("purpose"),
            after=None if after is None else self._file(request, after).number,
            newest_first=order == "desc",
            limit=limit + 1,
            now=self._store.clock.unix(),
        )
        return Json(page([file_object(stored) for stored in found[:limit]], has_more=len(found) > limit))

    async def _retrieve_file(self, request: Request) -> Response:
        return Json(file_object(self._file(request, request.path_params["file_id"])))

    async def _delete_file(self, request: Request) -> Response:
        stored = self._file(request, request.path_params["file_id"])
        self._store.delete_file(stored.id)
        return Json({"id": stored.id, "object": "file", "deleted": True})

    async def _content(self, request: Request) -> Response:
        stored = self._file(request, request.path_params["file_id"])
        path = self._store.path_of(stored.id)
        cut = request.state.rules.get("cut_download")
        if cut is not None:
            with path.open("rb") as handle:
                return cut_download(handle.read(cut["bytes"]), stored.bytes if cut["with_length"] else None)
        return _Download(path, media_type="application/octet-stream", stat_result=path.stat())

    async def _create_batch(self, request: Request) -> Response:
        values = batch_values(await request.body())
        kept = _allowed_expiry(request, values["output_seconds"], "output_expires_after")
        values["output_seconds"] = kept
        written, own = _own_faults(values["metadata"])
        now = self._store.clock.unix()
        identity = bare(batch_id(now)) if "bare_ids" in request.state.rules else batch_id(now)
        batch = self._store.add_batch(
            {
                "id": identity,
                "project": request.state.project,
                "created": now,
                "expires": now + DAY,
                "faults": written,
                **values,
            }
        )
        self._faults.adopt(batch.number, own)
        for rule in self._faults.on_batch("drop_metadata", batch.number):
            self._store.update_batch(batch, metadata="{}" if rule["as"] == "empty" else None)
            batch = self._batch_of(request, batch.id)
        self._wake()
        return Json(self._shown(batch))

    def _batch_of(self, request: Request, identity: str) -> StoredBatch:
        batch = self._store.batch(request.state.project, identity)
        assert batch is not None  # noqa: S101 - it was there a moment ago, and batches are never removed
        return batch

    async def _retrieve_batch(self, request: Request) -> Response:
        return Json(self._shown(self._batch(request)))

    async def _list_batches(self, request: Request) -> Response:
        query = request.query_params
        limit = limit_of(query, most=100, default=20)
        damage = request.state.rules.get("list_damaged")
        how = None if damage is None else damage["how"]
        before = None
        if query.get("after") and how != "repeat_page":
            last = self._store.batch(request.state.project, query["after"])
            if last is None:
                raise no_such_batch(query["after"])
            before = last.number
        found = self._store.list_batches(request.state.project, before=before, hidden=self._hidden(), limit=limit + 1)
        items = [self._shown(batch) for batch in found[:limit]]
        return damaged(page(items, has_more=len(found) > limit or how == "repeat_page"), how)

    def _hidden(self) -> set[int]:
        """The batches that lists do not show yet."""
        lag = self._faults.longest_lag
        if not lag:
            return set()
        now = self._store.clock.unix()
        return {
            number
            for number, created in self._store.batches_since(now - lag)
            if any(created + rule["seconds"] > now for rule in self._faults.on_batch("list_lag", number))
        }

    async def _cancel_batch(self, request: Request) -> Response:
        batch = self._batch(request)
        if batch.status in ("completed", "failed", "expired"):
            raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        while batch.status not in ("cancelling", "cancelled"):
            # the worker may move it on meanwhile
            self._store.update_batch(batch, status="cancelling", cancelling_at=self._store.clock.unix())
            batch = self._batch(request)
            if batch.status in ("completed", "failed", "expired"):
                raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        self._wake()
        return Json(self._shown(batch))

    def _shown(self, batch: StoredBatch) -> dict[str, Any]:
        """The batch as its faults want it seen."""
        return shown(self._faults, batch, self._store.clock.unix())

    async def _described(self, request: Request) -> Response:  # noqa: ARG002 - the gate has looked at it
        return Json(document())

    async def _health(self, request: Request) -> Response:  # noqa: ARG002 - the gate has looked at it
        return Json({"status": "ok", "pid": os.getpid(), **self._about})

    async def _audit(self, request: Request) -> Response:
        detail = request.query_params.get("detail", "") not in ("", "0", "false")
        return Json(await asyncio.to_thread(self._ledger.audit, detail=detail))

    async def _shutdown(self, request: Request) -> Response:  # noqa: ARG002 - the gate has looked at it
        self._stop()
        return Json({"status": "stopping"})


def _own_faults(metadata: str | None) -> tuple[str | None, list[Rule]]:
    """The faults that a client asks for, for this batch alone: as written, and as rules."""
    written = (json.loads(metadata) if metadata is not None else {}).get(OWN_FAULTS)
    try:
        return written, faults_of_batch(written) if written is not None else []
    except ValueError as error:
        name = f"metadata.{OWN_FAULTS}"
        raise ApiError(400, f"Invalid '{name}': {error}.", "invalid_value", name) from error


def _allowed_expiry(request: Request, seconds: int | None, name: str) -> int | None:
    """The seconds that a client wants a file kept; a fault makes this a server that knows nothing of it."""
    rule = request.state.rules.get("no_expiry")
    if rule is None or seconds is None:
        return seconds
    if rule["how"] == "refused":
        raise ApiError(400, f"Unknown parameter: '{name}'.", "unknown_parameter", name)
    return None


async def _drain(request: Request) -> None:
    """Read what the client still sends, so that it gets to read the answer."""
    try:
        async for _ in request.stream():
            pass
    except (ClientDisconnect, RuntimeError):
        return


async def _refused(request: Request, refusal: Exception) -> Response:  # noqa: ARG001 - the signature is starlette's
    assert isinstance(refusal, ApiError)  # noqa: S101 - registered for this class alone
    return Json(refusal.body(), refusal.status, headers=refusal.headers())


async def _no_route(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, HTTPException)  # noqa: S101 - registered for this class alone
    error = ApiError(refusal.status_code, f"Unknown request URL: {request.method} {request.url.path}.", "unknown_url")
    headers = {"allow": ", ".join(_allowed(request))} if error.status == METHOD_NOT_ALLOWED else None
    return Json(error.body(), error.status, headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods of this path: each is a route of its own."""
    known = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted(method for route in known for method in route.methods)
