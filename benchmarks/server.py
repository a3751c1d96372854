"""One batch through the local Batch API: upload, wait, download; the whole server process is measured.

python -m benchmarks.server INFO REQUESTS TARGET   is the client: a request file becomes a result file.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.lab import Figures, Lab
from benchmarks.measuring import PYTHON, Program, Usage, environment, middle, run, usage_of
from benchmarks.studies import shards

_BORDER: Final = "bench-border"
_PATIENCE: Final = 60.0
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


class Client:
    """The few calls that one batch needs."""

    def __init__(self, info: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not info.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._http = http.client.HTTPConnection("127.0.0.1", json.loads(info.read_bytes())["port"])

    def call(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": "Bearer sk-bench", "Content-Type": kind}
        self._http.request(method, f"/v1{path}", body=body, headers=headers)
        return self._http.getresponse()

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call(method, path, body, kind).read())
        return found

    def upload(self, content: bytes) -> str:
        part = f"--{_BORDER}\r\nContent-Disposition: form-data; name="
        head = f'{part}"purpose"\r\n\r\nbatch\r\n{part}"file"; filename="requests.jsonl"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{_BORDER}--\r\n".encode()
        return str(self.ask("POST", "/files", body, f"multipart/form-data; boundary={_BORDER}")["id"])

    def through(self, content: bytes, target: Path) -> None:
        asked = {"input_file_id": self.upload(content), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = self.ask("POST", "/batches", json.dumps(asked).encode())
        while batch["status"] not in _ENDED:
            time.sleep(0.1)
            batch = self.ask("GET", f"/batches/{batch['id']}")
        assert batch["status"] == "completed", batch
        reply = self.call("GET", f"/files/{batch['output_file_id']}/content")
        with target.open("wb") as handle:
            shutil.copyfileobj(reply, handle, 1 << 20)


def _turn(lab: Lab, requests: Path, target: Path) -> Usage:
    """One server's life with one batch."""
    store, info = lab.place / "store", lab.place / "store.json"
    shutil.rmtree(store, ignore_errors=True)
    info.unlink(missing_ok=True)
    words = (PYTHON, "-m", "batchflow.server", "--store", store, "--info", info, "--delay", "0")
    began = time.monotonic()
    process = subprocess.Popen((*words, "--rows-per-second", "1e9"), env=environment(), stderr=subprocess.DEVNULL)
    try:
        run(Program((PYTHON, "-m", "benchmarks.server", str(info), str(requests), str(target))))
    finally:
        process.terminate()
        _, status, told = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage_of(told, began)


def _joined(study: Path, target: Path, rows: int) -> None:
    """So many request lines of a study, in one file."""
    with target.open("wb") as handle:
        for path in shards(study):
            with path.open("rb") as lines:
                for line in islice(lines, max(0, rows)):
                    handle.write(line)
                    rows -= 1


def measure(lab: Lab, study: Path, rows: int) -> tuple[Figures, tuple[str, ...]]:
    """All rows of a study in one batch, and a tenth of them for the memory."""
    folder = lab.place / "one-batch"
    folder.mkdir(exist_ok=True)
    whole, tenth, answers = folder / "whole.jsonl", lab.place / "tenth.jsonl", folder / "answers.jsonl"
    _joined(study, whole, rows)
    _joined(study, tenth, rows // 10)
    small = _turn(lab, tenth, answers)
    turns = [(_turn(lab, whole, answers), run(lab.limit("rewrite", folder, "*.jsonl"))) for _ in range(lab.rounds)]
    figures = Figures(middle([ours for ours, _ in turns]), middle([limit for _, limit in turns]))
    notes = (
        f"{rows:,} rows, {rows / figures.ours.cpu:,.0f} a CPU second",
        f"memory {figures.ours.memory:.0f} MB, {figures.ours.memory / small.memory:.2f} of that for a tenth",
    )
    return figures, notes


if __name__ == "__main__":
    Client(Path(sys.argv[1])).through(Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]))
