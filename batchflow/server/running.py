"""Uvicorn, the gate, the routes and the worker together, from the first answer to the last."""

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import uvicorn

from batchflow.server.app import Api
from batchflow.server.connection import Connection
from batchflow.server.faults import Faults, faults_of_batch
from batchflow.server.gate import Gate
from batchflow.server.pace import Pace, parse_latency
from batchflow.server.process import ADDRESS, ServeOptions, announced, base_url_of
from batchflow.server.store import Store
from batchflow.server.worker import Worker

_GRACE: Final = 0.5  # seconds that requests under way may still take at the end
_SWITCH: Final = 0.0005  # seconds after which a working worker lets a request in


class _Server(uvicorn.Server):
    """Says when it answers, and asks at every tick (0.1 s) whether it should end."""

    def __init__(self, config: uvicorn.Config, *, started: Callable[[], None], ended: Callable[[], bool]) -> None:
        super().__init__(config)
        self._say_started = started
        self._ended = ended

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say_started()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._ended()


def run(
    options: ServeOptions,
    store: Store,
    faults: Faults,
    listener: socket.socket,
    *,
    token: str | None,
    ready: Callable[[str], None] | None,
) -> None:
    """Serve on the bound socket until told to stop; raises what the worker died of."""
    sys.setswitchinterval(_SWITCH)
    _adopt(store, faults)
    port = listener.getsockname()[1]
    address = base_url_of(options.host, port)
    responder = options.responding.made(options.seed)
    worker = Worker(store, responder, faults, _pace(options))
    about = options.responding.about(options.seed)

    def stop() -> None:
        server.should_exit = True

    def started() -> None:
        worker.start()
        _announce(stack, options, address, port, token)
        if ready is not None:
            ready(address)

    def ended() -> bool:
        return worker.failure is not None or (options.idle is not None and gate.idle_for() >= options.idle)

    api = Api(store, responder, faults, wake=worker.wake, stop=stop, about=about)
    gate = Gate(api.application(), token, invites=options.open_to_others, noted=store.count_problem)
    server = _Server(_config(gate), started=started, ended=ended)
    with ExitStack() as stack:
        stack.callback(worker.stop)
        server.run(sockets=[listener])
    if worker.failure is not None:
        raise worker.failure


def _adopt(store: Store, faults: Faults) -> None:
    """The faults that batches of earlier processes brought along."""
    for batch in store.all_batches():
        faults.adopt(batch.number, faults_of_batch(batch.faults) if batch.faults else [])


def _announce(stack: ExitStack, options: ServeOptions, address: str, port: int, token: str | None) -> None:
    """Say where we are: in the file that was asked for, and in the store, for whoever finds it held."""
    for info in {options.info, options.store and options.store / ADDRESS}:
        stack.enter_context(announced(info, address, port, token))


def _pace(options: ServeOptions) -> Pace:
    return Pace(
        options.delay, options.rows_per_second, parse_latency(options.latency), options.seed, speed=options.speed
    )


def _config(gate: Gate) -> uvicorn.Config:
    return uvicorn.Config(
        gate,
        http=Connection,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=_GRACE,  # type: ignore[arg-type]  # it may be a fraction: asyncio takes it
    )
