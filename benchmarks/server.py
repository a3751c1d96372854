"""One batch through the local Batch API: rows per second and the server's peak memory.

python -m benchmarks.server 5000 50000   prints a line for each size and the ratio of the peaks.
"""

import sys
import tempfile
import time
from pathlib import Path

import httpx2

from tests.server.client import Client, file_of, line
from tests.server_process import ServerProcess

LIMIT = 1.25


def measure(rows: int) -> int:
    """Returns the server's peak memory in kB."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "requests.jsonl"
        with path.open("wb") as handle:
            for number in range(1, rows + 1):
                handle.write(file_of([line(number, text=f"You are person {number}. 'tea' or 'coffee'?")]))
        server = ServerProcess(Path(name) / "store", rows_per_second=1e9, delay=0)
        with server, Client(server) as client:
            batch_id = _start(client.http, path)
            began = time.monotonic()
            ended = client.wait(batch_id, patience=600)
            seconds = time.monotonic() - began
            assert ended["request_counts"] == {"total": rows, "completed": rows, "failed": 0}, ended
            size = 0
            with client.http.stream("GET", f"/files/{ended['output_file_id']}/content") as response:
                for piece in response.iter_bytes():
                    size += len(piece)
            peak = server.peak_rss_kb()
    print(
        f"{rows:>7,} rows: {rows / seconds:8,.0f} rows/s, server {peak / 1000:6.1f} MB, output {size / 1e6:.1f} MB",
        flush=True,
    )
    return peak


def _start(http: httpx2.Client, path: Path) -> str:
    with path.open("rb") as handle:
        uploaded = http.post("/files", data={"purpose": "batch"}, files={"file": (path.name, handle)}).json()
    body = {"input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str(http.post("/batches", json=body).json()["id"])


def main() -> int:
    sizes = [int(size) for size in sys.argv[1:]] or [5_000, 50_000]
    peaks = [measure(rows) for rows in sizes]
    ratio = peaks[-1] / peaks[0]
    print(f"peak memory of the server, {sizes[-1]:,} rows / {sizes[0]:,} rows: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
