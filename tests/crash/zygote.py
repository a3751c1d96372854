"""A process that has imported everything and forks one child for each command line it is given.

Each child is a real process running the real program and dies by a real SIGKILL; only the seconds of importing are
saved. Requests and replies are JSON lines on stdin and stdout.
"""

import json
import os
import signal
import sys
import time
from importlib import import_module
from typing import Any

PRELOADED = (
    "duckdb",
    "openai.resources.batches",
    "openai.resources.files",
    "batchflow.cli.app",
    "batchflow.cli.progress",
    "batchflow.cli.report",
    "batchflow.engine.planning",
    "batchflow.engine.rebuild",
    "batchflow.engine.runner",
    "batchflow.providers.local",
    "batchflow.sinks.reader",
)


def main() -> None:
    for name in PRELOADED:
        import_module(name)
    for line in sys.stdin:
        reply = _carry_out(json.loads(line))
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def _carry_out(request: dict[str, Any]) -> dict[str, Any]:
    child = os.fork()
    if child == 0:
        _become_batchflow(request)
    began = time.monotonic()
    killed = False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return {"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}
        passed = time.monotonic() - began
        limit = request["timeout"] if request["kill_after"] is None else request["kill_after"]
        if passed > limit and not killed:
            os.kill(child, getattr(signal, request["signal"]))
            killed = request["signal"] == "SIGKILL"
            request = {**request, "kill_after": request["timeout"], "signal": "SIGKILL"}
        time.sleep(0.002)


def _become_batchflow(request: dict[str, Any]) -> None:
    from batchflow.cli.app import main as batchflow

    os.chdir(request["folder"])
    os.environ.update(request["env"])
    os.setsid()
    for number, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        handle = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")
    sys.stderr = open(2, "w", closefd=False, encoding="utf-8")
    sys.argv = ["batchflow", *request["arguments"]]
    try:
        batchflow()
    finally:
        os._exit(70)


if __name__ == "__main__":
    main()
