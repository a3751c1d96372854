"""The server as a process: what it is told, where it listens, how it says so, and when it ends."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchflow.errors import SetupError, UsageError
from batchflow.files import atomic_write, scratch_folder
from batchflow.server.faults import load_faults
from batchflow.server.ledger import Ledger
from batchflow.server.pace import parse_latency
from batchflow.server.responding import SIMULATING, Responding
from batchflow.server.store import Store

TOKEN_VARIABLE: Final = "BATCHFLOW_SERVER_TOKEN"  # noqa: S105 - the name of a variable
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
ADDRESS: Final = "server.json"  # in the store's folder while a server holds it: port, pid, token and base URL
DEFAULT_HOST: Final = "127.0.0.1"
FASTEST: Final = 10_000_000  # a year in three seconds; faster clocks leave the calendar within hours
DEFAULT_DELAY: Final = 0.3
DEFAULT_ROWS_PER_SECOND: Final = 20_000.0


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `batchflow serve` is told. store=None: a folder that is gone afterwards; port=0: a free one;
    idle = seconds without a request after which it ends by itself; info, audit = files to write; speed = how many
    times as fast its clock runs; latency = time a batch takes, from..to.
    """

    store: Path | None = None
    host: str = DEFAULT_HOST
    port: int = 0
    info: Path | None = None
    idle: float | None = None
    faults: Path | None = None
    seed: int = 0
    delay: float = DEFAULT_DELAY
    rows_per_second: float = DEFAULT_ROWS_PER_SECOND
    audit: Path | None = None
    speed: float = 1.0
    latency: str | None = None
    responding: Responding = SIMULATING

    @property
    def open_to_others(self) -> bool:
        """Whether it listens on more than this machine's own addresses."""
        return self.host not in LOOPBACK

    def check(self) -> None:
        """UsageError where a value cannot be meant."""
        self.responding.check()
        if self.open_to_others and not os.environ.get(TOKEN_VARIABLE):
            raise UsageError(
                f"--host {self.host}: other machines could come in, so a key is needed",
                hint=f"set {TOKEN_VARIABLE} to a key of your own; or leave --host out: then only this machine comes in",
            )
        for name, wrong in (
            ("--port must be from 0 to 65535", not 0 <= self.port <= 65_535),  # noqa: PLR2004 - ports have 16 bits
            (f"--speed must be more than 0 and at most {FASTEST:,}", not 0 < self.speed <= FASTEST),
            ("--delay must be 0 or more seconds", not self.delay >= 0),
            ("--rows-per-second must be more than 0", not self.rows_per_second > 0),
            ("--idle must be more than 0 seconds", self.idle is not None and not self.idle > 0),
        ):
            if wrong:
                raise UsageError(name)
        parse_latency(self.latency)


def serve(options: ServeOptions, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve until told to stop (SIGTERM, SIGINT, /admin/shutdown, idle). `ready` is called with the base URL once
    requests are answered. Raises UsageError, InvalidInput (faults file) or SetupError (store held, port taken).
    """
    options.check()
    faults = load_faults(options.faults, options.seed)
    with _store(options.store, options.speed) as store, _listening(options.host, options.port) as listener:
        # imported late: a store that is held and a port that is taken are said at once
        from batchflow.server.running import run  # noqa: PLC0415

        try:
            with _signals_end_quietly():
                run(options, store, faults, listener, token=os.environ.get(TOKEN_VARIABLE) or None, ready=ready)
        finally:
            if options.audit is not None:
                atomic_write(options.audit, json.dumps(Ledger(store).audit(), indent=2).encode())


@contextmanager
def _store(folder: Path | None, speed: float) -> Iterator[Store]:
    if folder is None:
        with scratch_folder() as scratch, _store(scratch, speed) as store:
            yield store
        return
    store = Store(folder, speed)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket; its port can be bound again at once after a crash."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise SetupError(
                f"port {port} on {host} cannot be used: {error.strerror}", hint="leave --port out: a free one is found"
            ) from error
        yield listener


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Uvicorn raises the signal that ended it once more: by then it has done its work."""
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def base_url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


@contextmanager
def announced(path: Path | None, address: str, port: int, token: str | None) -> Iterator[None]:
    """The info file, there while the server answers and gone after an orderly end."""
    if path is None:
        yield
        return
    told = {"port": port, "pid": os.getpid(), "token": token, "base_url": address}
    atomic_write(path, json.dumps(told).encode(), mode=0o600)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            if json.loads(path.read_bytes()).get("pid") == os.getpid():
                path.unlink()
