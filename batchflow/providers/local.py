"""The local provider: a server of ours as its own process on a free loopback port, its store in the run's folder.

The server outlives a killed runner and ends by itself when nobody asks; a killed server is started again on its store
and goes on with the batches it had accepted.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import httpx2

from batchflow import clock, files
from batchflow.errors import ProviderDoubt, SetupError
from batchflow.plan.target import LOCAL
from batchflow.providers.base import Batch, FilePage, Page, RemoteFile, Reply
from batchflow.providers.openai import OpenAIProvider

IDLE: Final = 900  # seconds without a request after which the server ends by itself
STOP_PATIENCE: Final = 5.0  # seconds for an orderly end
START_PATIENCE: Final = 60.0  # seconds; a busy machine starts Python slowly


class LocalServer:
    """The server process of one store: found where one runs, started where none does."""

    def __init__(self, store: Path, seed: int) -> None:
        self._store, self._seed = store, seed
        self._info = store / "server.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._stopped = False
        self.base_url = ""
        self.token = ""

    def stop_if_running(self) -> None:
        """End a server that a former command left running; none is started for it."""
        with self._lock:
            info = self._find()
            if info is not None:
                self._connect(info)
        self.stop()

    def ensure(self) -> None:
        """A running server, after which base_url and token hold. Safe to call from any thread, and cheap."""
        with self._lock:
            if self._stopped:  # a call that was on its way when the run ended
                raise ProviderDoubt("the local server was stopped")
            if not self._alive():
                self._connect(self._find() or self._start())

    def stop(self) -> None:
        """End the server; what it accepted stays in its store."""
        with self._lock:
            self._stopped = True
            if not self.base_url or not self._ask("POST", self.base_url, self.token, "/admin/shutdown"):
                return
            deadline = clock.monotonic() + STOP_PATIENCE
            while self._info.exists() and clock.monotonic() < deadline:
                clock.sleep(0.01)
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        if not self._pid:
            return False
        try:
            os.kill(self._pid, 0)
        except OSError:
            return False
        return True

    def _connect(self, info: Mapping[str, Any]) -> None:
        self.base_url, self.token, self._pid = info["base_url"], info["token"], info["pid"]

    def _find(self) -> Mapping[str, Any] | None:
        """The server that a former process of ours left running, if it answers to its token."""
        try:
            info = json.loads(self._info.read_bytes())
            healthy = self._ask("GET", info["base_url"], info["token"], "/admin/health")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return info if healthy else None

    def _start(self) -> Mapping[str, Any]:
        files.make_folder(self._store, private=True)
        self._info.unlink(missing_ok=True)
        token = self.token or f"sk-local-{token_hex(16)}"
        command = [sys.executable, "-m", "batchflow.server", "--store", str(self._store), "--info", str(self._info)]
        command += ["--idle", str(IDLE), "--seed", str(self._seed), "--port", str(self._port())]
        environment = {**os.environ, "BATCHFLOW_SERVER_TOKEN": token}
        with files.log_handle(self._store / "server.log") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self._wait_for_info(self._process)

    def _port(self) -> int:
        """The port it had before, so that clients of a killed server find its successor; 0 = any."""
        return httpx2.URL(self.base_url).port or 0 if self.base_url else 0

    def _wait_for_info(self, process: "subprocess.Popen[bytes]") -> Mapping[str, Any]:
        deadline = clock.monotonic() + START_PATIENCE
        while clock.monotonic() < deadline:
            if self._info.is_file():
                info: Mapping[str, Any] = json.loads(self._info.read_bytes())
                return info
            if process.poll() is not None:
                break
            clock.sleep(0.02)
        process.kill()
        raise SetupError("the local server did not start", hint=f"its own words are in {self._store / 'server.log'}")

    @staticmethod
    def _ask(method: str, base_url: str, token: str, path: str) -> bool:
        url = base_url.removesuffix("/v1") + path
        try:
            reply = httpx2.request(
                method, url, headers={"authorization": f"Bearer {token}"}, timeout=5, trust_env=False
            )
        except httpx2.HTTPError:
            return False
        return reply.is_success


class LocalProvider(OpenAIProvider):
    """The same SDK and the same calls as against OpenAI, with a server that is there whenever a call is made."""

    def __init__(self, server: LocalServer) -> None:
        server.ensure()
        self._server = server
        super().__init__(name=LOCAL, base_url=server.base_url, api_key=server.token, own_settings=False, simulated=True)

    def upload(self, path: Path, name: str, *, expires_after: int | None = None) -> RemoteFile:
        self._server.ensure()
        return super().upload(path, name, expires_after=expires_after)

    def find_file(self, file_id: str) -> RemoteFile | None:
        self._server.ensure()
        return super().find_file(file_id)

    def create(
        self, file_id: str, endpoint: str, metadata: Mapping[str, str], *, expires_after: int | None = None
    ) -> Batch:
        self._server.ensure()
        return super().create(file_id, endpoint, metadata, expires_after=expires_after)

    def find_batch(self, batch_id: str) -> Batch | None:
        self._server.ensure()
        return super().find_batch(batch_id)

    def page(self, after: str | None) -> Page:
        self._server.ensure()
        return super().page(after)

    def download(self, file_id: str) -> Iterator[bytes]:
        self._server.ensure()
        return super().download(file_id)

    def cancel(self, batch_id: str) -> Batch | None:
        self._server.ensure()
        return super().cancel(batch_id)

    def file_page(self, after: str | None) -> FilePage:
        self._server.ensure()
        return super().file_page(after)

    def delete_file(self, file_id: str) -> bool:
        self._server.ensure()
        return super().delete_file(file_id)

    def ask(self, endpoint: str, body: bytes) -> Reply:
        self._server.ensure()
        return super().ask(endpoint, body)

    def stop(self) -> None:
        """The run has ended: so does its server."""
        self._server.stop()
