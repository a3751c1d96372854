"""The routes of the Files and Batches API, each counted, with the faults that strike its calls."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, HTMLResponse, JSONResponse

from batchflow import clock
from batchflow.files import ShardFile
from batchflow.server.connection import Cut, cut_download
from batchflow.server.fault_kinds import ROUTES
from batchflow.server.faults import Faults, Rule
from batchflow.server.ids import batch_id, file_id
from batchflow.server.ledger import Ledger
from batchflow.server.parameters import DAY, batch_values, check_upload, limit_of, upload_expiry
from batchflow.server.responder import Responder
from batchflow.server.store import Store, StoredBatch, StoredFile
from batchflow.server.synchronous import Synchronous
from batchflow.server.upload import UploadParser
from batchflow.server.wire import ApiError, batch_object, file_object, no_such_batch, no_such_file, page, wrong_value

Handler = Callable[[Request], Awaitable[Response]]

_MONTH = 30 * DAY
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class _Download(FileResponse):
    chunk_size = 256 * 1024


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
        self._wake = wake
        self._stop = stop
        self._about = about

    def application(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
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
        for event, handler in handlers.items():
            method, path = ROUTES[event].split(" ")
            app.add_api_route(path, self._struck(event, handler), methods=[method], response_model=None)
        app.add_api_route("/admin/health", self._health, methods=["GET"], response_model=None)
        app.add_api_route("/admin/audit", self._audit, methods=["GET"], response_model=None)
        app.add_api_route("/admin/shutdown", self._shutdown, methods=["POST"], response_model=None)
        app.add_exception_handler(ApiError, _refused)
        app.add_exception_handler(HTTPException, _no_route)
        return app

    def _struck(self, event: str, handler: Handler) -> Handler:
        """The handler, counted, between the faults that prevent its work and those that spoil its reply."""

        async def call(request: Request) -> Response:
            ordinal = self._store.count_call(ROUTES[event])
            rules = list(self._faults.on_call(event, ordinal))
            for rule in rules:
                if rule.kind == "http_error":
                    await _drain(request)
                    return _http_error(rule)
            request.state.rules = {rule.kind: rule for rule in rules}
            response = await handler(request)
            for rule in rules:
                if rule.kind == "reply_delay":
                    await asyncio.sleep(rule["seconds"])
            return Cut() if any(rule.kind == "lost_reply" for rule in rules) else response

        return call

    def _file(self, request: Request, identity: str) -> StoredFile:
        stored = self._store.file(request.state.project, identity, clock.unix())
        if stored is None:
            raise no_such_file(identity)
        return stored

    def _batch(self, request: Request) -> StoredBatch:
        identity = request.path_params["batch_id"]
        batch = self._store.batch(request.state.project, identity)
        if batch is None:
            raise no_such_batch(identity)
        return batch

    async def _create_file(self, request: Request) -> Response:
        shard = ShardFile(self._store.path_of(file_id()))
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
            stored = self._keep(request.state.project, parser, shard)
        except ApiError:
            shard.path.unlink()
            raise
        return JSONResponse(file_object(stored))

    def _keep(self, project: str, parser: UploadParser, shard: ShardFile) -> StoredFile:
        filename = parser.filename or ""
        with shard.path.open("rb") as handle:
            check_upload(parser.fields, filename, shard.bytes, handle.readline())
        seconds = upload_expiry(parser.fields)
        purpose = parser.fields["purpose"]
        if seconds is None and purpose == "batch":
            seconds = _MONTH
        now = int(clock.unix())
        expires = None if seconds is None else now + seconds
        return self._store.add_file(
            shard.path.name, project, size=shard.bytes, created=now, expires=expires, filename=filename, purpose=purpose
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
            now=clock.unix(),
        )
        return JSONResponse(page([file_object(stored) for stored in found[:limit]], has_more=len(found) > limit))

    async def _retrieve_file(self, request: Request) -> Response:
        return JSONResponse(file_object(self._file(request, request.path_params["file_id"])))

    async def _delete_file(self, request: Request) -> Response:
        stored = self._file(request, request.path_params["file_id"])
        self._store.delete_file(stored.id)
        return JSONResponse({"id": stored.id, "object": "file", "deleted": True})

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
        now = clock.unix()
        batch = self._store.add_batch(
            {"id": batch_id(now), "project": request.state.project, "created": now, "expires": now + DAY, **values}
        )
        if any(self._faults.on_batch("drop_metadata", batch.number)):
            self._store.update_batch(batch, metadata=None)
            batch = self._batch_of(request, batch.id)
        self._wake()
        return JSONResponse(self._shown(batch))

    def _batch_of(self, request: Request, identity: str) -> StoredBatch:
        batch = self._store.batch(request.state.project, identity)
        assert batch is not None  # noqa: S101 - it was there a moment ago, and batches are never removed
        return batch

    async def _retrieve_batch(self, request: Request) -> Response:
        return JSONResponse(self._shown(self._batch(request)))

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
        return _damaged(page(items, has_more=len(found) > limit or how == "repeat_page"), how)

    def _hidden(self) -> set[int]:
        """The batches that lists do not show yet."""
        lag = self._faults.longest_lag
        if not lag:
            return set()
        now = clock.unix()
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
            self._store.update_batch(batch, status="cancelling", cancelling_at=clock.unix())
            batch = self._batch(request)
            if batch.status in ("completed", "failed", "expired"):
                raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        self._wake()
        return JSONResponse(self._shown(batch))

    def _shown(self, batch: StoredBatch) -> dict[str, Any]:
        """The batch as its faults want it seen."""
        shown = batch_object(batch)
        for rule in self._faults.on_batch("status", batch.number):
            if batch.status in ("validating", "in_progress") and clock.unix() < batch.created + rule["seconds"]:
                shown["status"] = rule["value"]
        for rule in self._faults.on_batch("result_file", batch.number):
            name = f"{rule['which']}_file_id"
            match rule["as"]:
                case None | "null":
                    shown[name] = None
                case "empty_string":
                    shown[name] = ""
                case "absent":
                    shown.pop(name, None)
        return shown

    async def _health(self, request: Request) -> Response:  # noqa: ARG002 - the gate has looked at it
        return JSONResponse({"status": "ok", "pid": os.getpid(), **self._about})

    async def _audit(self, request: Request) -> Response:
        detail = request.query_params.get("detail", "") not in ("", "0", "false")
        return JSONResponse(await asyncio.to_thread(self._ledger.audit, detail=detail))

    async def _shutdown(self, request: Request) -> Response:  # noqa: ARG002 - the gate has looked at it
        self._stop()
        return JSONResponse({"status": "stopping"})


async def _drain(request: Request) -> None:
    """Read what the client still sends, so that it gets to read the answer."""
    try:
        async for _ in request.stream():
            pass
    except (ClientDisconnect, RuntimeError):
        return


def _http_error(rule: Rule) -> Response:
    kind = "server_error" if rule["status"] >= 500 else "invalid_request_error"  # noqa: PLR2004 - HTTP
    message = rule["message"] if rule["message"] is not None else f"Simulated error {rule['status']}."
    error = ApiError(rule["status"], message, rule["code"], kind=kind, retry_after=rule["retry_after"])
    return JSONResponse(error.body(), error.status, headers=error.headers())


def _damaged(listed: dict[str, Any], how: str | None) -> Response:
    match how:
        case "null_data":
            return JSONResponse({**listed, "data": None, "has_more": False})
        case "error_object":
            return JSONResponse(
                {"error": {"message": "upstream error", "type": "server_error", "param": None, "code": None}}
            )
        case "html":
            return HTMLResponse(_HTML)
        case _:
            return Response(json.dumps(listed), media_type="application/json")


async def _refused(request: Request, refusal: Exception) -> Response:  # noqa: ARG001 - the signature is starlette's
    assert isinstance(refusal, ApiError)  # noqa: S101 - registered for this class alone
    return JSONResponse(refusal.body(), refusal.status, headers=refusal.headers())


async def _no_route(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, HTTPException)  # noqa: S101 - registered for this class alone
    error = ApiError(refusal.status_code, f"Unknown request URL: {request.method} {request.url.path}.", "unknown_url")
    return JSONResponse(error.body(), error.status)
