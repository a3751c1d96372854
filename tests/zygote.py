"""Processes that have imported everything and fork one child for each command line they are given.

Each child is a real process running the real program and dies by a real SIGKILL; only the seconds of importing are
saved. Requests and replies are JSON lines on stdin and stdout of `python -m tests.zygote MODULE...`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = "batchflow.cli.app"
IMPORTED = (
    PROGRAM,
    "duckdb",
    "openai.resources.batches",
    "openai.resources.files",
    "batchflow.cli.progress",
    "batchflow.cli.report",
    "batchflow.engine.planning",
    "batchflow.engine.rebuild",
    "batchflow.engine.runner",
    "batchflow.providers.local",
    "batchflow.sinks.reader",
)
SERVER = "batchflow.server.__main__"
IMPORTED_BY_SERVER = (SERVER, "batchflow.server.running", "uvicorn.protocols.http.h11_impl", "uvicorn.lifespan.on")


@dataclass(frozen=True)
class Ended:
    """How one process ended: -9 = by SIGKILL."""

    status: int
    seconds: float
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        value = json.loads(self.stdout)
        assert isinstance(value, dict)
        return value


class Zygote:
    """Runs a program in forked children."""

    def __init__(self, imported: Sequence[str] = IMPORTED) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote", *imported],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self._alone = threading.Lock()  # the crash and fault matrices ask from several threads

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._alone:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            reply = json.loads(self._process.stdout.readline())
        assert isinstance(reply, dict)
        return reply

    def run(
        self,
        folder: Path,
        arguments: Sequence[str],
        env: dict[str, str] | None = None,
        *,
        kill_after: float | None = None,
        signal: str = "SIGKILL",
        timeout: float = 60.0,
    ) -> Ended:
        """One `batchflow` from beginning to end, killed as told."""
        stdout, stderr = folder / ".stdout", folder / ".stderr"
        reply = self.ask(
            do="run",
            child={
                "module": PROGRAM,
                "arguments": ["batchflow", *arguments],
                "folder": str(folder),
                "env": {**os.environ, **(env or {})},
                "stdout": str(stdout),
                "stderr": str(stderr),
            },
            kill_after=kill_after,
            signal=signal,
            timeout=timeout,
        )
        return Ended(reply["status"], reply["seconds"], stdout.read_text(), stderr.read_text())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Started:
    """A local server as a forked child; of subprocess.Popen's methods those that tests need."""

    def __init__(self, arguments: Sequence[str], env: dict[str, str], output: Path) -> None:
        child = {
            "module": SERVER,
            "arguments": list(arguments),
            "folder": str(Path.cwd()),
            "env": env,
            "stdout": str(output),
            "stderr": str(output),
        }
        self._parent = _servers()  # its own: the first ones of several threads may be of several zygotes
        self.pid: int = self._parent.ask(do="start", child=child)["pid"]
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._parent.ask(do="poll", pid=self.pid)["status"]
        return self._status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        until = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("the server", timeout)
            time.sleep(0.005)
        return status


@cache
def _servers() -> Zygote:
    return Zygote(IMPORTED_BY_SERVER)


def main() -> None:
    for name in sys.argv[1:]:
        import_module(name)
    if PROGRAM in sys.argv:
        _read_vocabulary_and_prices()
    for line in sys.stdin:
        request = json.loads(line)
        reply = DOINGS[request.pop("do")](**request)
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def _read_vocabulary_and_prices() -> None:
    from genai_prices import Usage, calc_price

    from batchflow.cost.tokenizer import tokenizer_of

    tokenizer_of("gpt-4o")
    calc_price(Usage(input_tokens=1), "gpt-4o")


def _start(child: dict[str, Any]) -> dict[str, Any]:
    return {"pid": os.fork() or _become(child)}


def _poll(pid: int) -> dict[str, Any]:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return {"status": os.waitstatus_to_exitcode(status) if ended else None}


def _run(child: dict[str, Any], kill_after: float | None, signal: str, timeout: float) -> dict[str, Any]:
    pid = _start(child)["pid"]
    began = time.monotonic()
    limit, number = (timeout, "SIGKILL") if kill_after is None else (kill_after, signal)
    while (status := _poll(pid)["status"]) is None:
        if time.monotonic() - began > limit:
            os.kill(pid, SIGNALS[number])
            limit, number = (timeout, "SIGKILL") if number != "SIGKILL" else (float("inf"), "")
        time.sleep(0.002)
    return {"status": status, "seconds": time.monotonic() - began}


SIGNALS = {each.name: each for each in signal.Signals}
DOINGS: dict[str, Callable[..., dict[str, Any]]] = {"run": _run, "start": _start, "poll": _poll}


def _become(child: dict[str, Any]) -> NoReturn:
    stdout, stderr = child["stdout"], child["stderr"]
    os.chdir(child["folder"])
    os.environ.clear()
    os.environ.update(child["env"])
    os.setsid()
    random.seed()  # two children must not draw the same
    growing = os.O_APPEND if stdout == stderr else os.O_TRUNC
    for number, name in ((0, os.devnull), (1, stdout), (2, stderr)):
        handle = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | growing)
        os.dup2(handle, number)
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")
    sys.stderr = open(2, "w", closefd=False, encoding="utf-8")
    sys.argv = child["arguments"]
    status = 70
    try:
        status = import_module(child["module"]).main() or 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
