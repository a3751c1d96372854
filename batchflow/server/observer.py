"""What is noticed about the client: habits that the real service punishes, or that point to a mistake."""

import json
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from batchflow.server.store import Store

SHORTEST: Final = 0.05  # seconds of the server's clock between two looks at the same thing
_LOOKS: Final = frozenset({"batches.retrieve", "batches.list", "files.retrieve", "files.list"})
_QUERIES: Final = {"files.list": {"purpose", "order", "after", "limit"}, "batches.list": {"after", "limit"}}
_CONTENT_TYPES: Final = {"files.create": "multipart/form-data", "batches.create": "application/json"}
_REMEMBERED: Final = 10_000


class Observer:
    """Notes problems in the store, each with how often it was seen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked: dict[str, float] = {}

    def note(self, problem: str, detail: str) -> None:
        self._store.count_problem(problem, detail)

    def refused(self, event: str, status: int, message: str) -> None:
        """A request that the server would not carry out, for a reason of its own."""
        self.note("refused", f"{event}: {status} {message}")

    async def look(self, event: str, request: Request) -> None:
        """Everything that can be seen in a request before it is carried out."""
        self._pace(event, request)
        for name in request.query_params:
            if name not in _QUERIES.get(event, ()) and event in {*_LOOKS, *_CONTENT_TYPES}:
                self.note("unknown query parameter", f"{event}: {name}")
        wanted, given = _CONTENT_TYPES.get(event), request.headers.get("content-type", "")
        if wanted is not None and given.partition(";")[0].strip().lower() != wanted:
            self.note("wrong content type", f"{event}: {given or 'none'} in place of {wanted}")
        if event == "batches.create":
            await self._creates(request)
        elif event in {"files.delete", "files.content"}:
            self._touches(event, request)

    def _pace(self, event: str, request: Request) -> None:
        if event not in _LOOKS:
            return
        now = self._store.clock.monotonic()
        what = f"{request.state.project} {request.url.path}?{request.url.query}"
        if now - self._looked.get(what, float("-inf")) < SHORTEST:
            self.note("polling too fast", f"{event}: less than {SHORTEST:g} s after the last look")
        if len(self._looked) >= _REMEMBERED:
            self._looked.clear()
        self._looked[what] = now

    async def _creates(self, request: Request) -> None:
        try:
            body: Any = json.loads(await request.body())
        except (ValueError, RecursionError, ClientDisconnect):
            return
        identity = body.get("input_file_id") if isinstance(body, dict) else None
        if isinstance(identity, str) and self._live(identity, request):
            self.note("second batch on the input of an open one", identity)

    def _touches(self, event: str, request: Request) -> None:
        identity = request.path_params["file_id"]
        if self._live(identity, request):
            did = "deleted" if event == "files.delete" else "downloaded"
            self.note(f"{did} the input of an open batch", identity)

    def _live(self, identity: str, request: Request) -> bool:
        return any(
            batch.input_file_id == identity and batch.project == request.state.project
            for batch in self._store.open_batches()
        )
