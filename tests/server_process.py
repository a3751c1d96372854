"""The local server as a process of its own, for tests: start, stop, kill, start again on the same port."""

import json
import os
import secrets
import signal
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.zygote import Started

_PATIENCE = 30.0


class ServerProcess:
    """One server on one store. token=None: every bearer key is a project of its own.

    faults = rules as `--faults` takes them, or the path of such a file; env = more environment variables.
    """

    def __init__(
        self,
        store: Path,
        *,
        faults: Sequence[dict[str, Any]] | Path = (),
        env: dict[str, str] | None = None,
        token: str | None = None,
        delay: float = 0.05,
        rows_per_second: float | None = None,
        seed: int = 0,
        idle: float | None = None,
        port: int = 0,
        extra: Sequence[str] = (),
    ) -> None:
        self.store = store
        self.faults = faults
        self.env = env or {}
        self.token = token
        self.delay = delay
        self.rows_per_second = rows_per_second
        self.seed = seed
        self.idle = idle
        self.port = port
        self.extra = tuple(extra)
        self.info = store.with_name(f"{store.name}.server.json")
        self.errors = store.with_name(f"{store.name}.stderr.txt")
        self.process: Started | None = None

    @staticmethod
    def new_token() -> str:
        return f"sk-local-{secrets.token_hex(16)}"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def key(self) -> str:
        """A key that is let in."""
        return self.token or "sk-test"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "batchflow.server", *self._arguments()]

    def _arguments(self) -> list[str]:
        told = {
            "--store": self.store,
            "--port": self.port,
            "--info": self.info,
            "--seed": self.seed,
            "--delay": self.delay,
            "--rows-per-second": self.rows_per_second,
            "--idle": self.idle,
            "--faults": self._faults_file(),
        }
        arguments = [str(part) for name, value in told.items() if value is not None for part in (name, value)]
        return [*arguments, *self.extra]

    def _faults_file(self) -> Path | None:
        if isinstance(self.faults, Path):
            return self.faults
        if not self.faults:
            return None
        path = self.store.with_name(f"{self.store.name}.faults.json")
        path.write_text(json.dumps(list(self.faults)))
        return path

    def start(self) -> Self:
        """Returns once it answers; a second start uses the port of the first."""
        self.info.unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if name != "BATCHFLOW_SERVER_TOKEN"} | self.env
        if self.token is not None:
            environment["BATCHFLOW_SERVER_TOKEN"] = self.token
        self.errors.touch()
        self.process = Started(["batchflow.server", *self._arguments()], environment, self.errors)
        until = time.monotonic() + _PATIENCE
        while not self.info.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill9()
                raise AssertionError(f"the server did not start:\n{self.errors.read_text()}")
            time.sleep(0.005)
        self.port = json.loads(self.info.read_bytes())["port"]
        return self

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_PATIENCE)

    def stop(self) -> int:
        """An orderly end; returns the exit status."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """The same store, port and options, whatever ended the process."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        return self.start()

    def request(self, method: str, path: str) -> Any:
        """The JSON answer of a path from the root on, such as /admin/health."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Authorization": f"Bearer {self.key}"}
        )
        with urllib.request.urlopen(asked, timeout=_PATIENCE) as answer:  # noqa: S310 - loopback http
            return json.load(answer)

    def audit(self, *, detail: bool = False) -> dict[str, Any]:
        audited = self.request("GET", "/admin/audit" + ("?detail=1" if detail else ""))
        assert isinstance(audited, dict)
        return audited

    def peak_rss_kb(self) -> int:
        """VmHWM of the process (Linux)."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

    def __enter__(self) -> Self:
        running = self.process is not None and self.process.poll() is None
        return self if running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill9()
