"""What cannot be done for less: each limit is a small program that moves the same bytes and does nothing else.

python -m benchmarks.limits NAME ARGUMENTS
"""

import hashlib
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

PIECE: Final = 1 << 20


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while piece := handle.read(PIECE):
            yield piece


def rewrite(study: str, pattern: str = "runs/*/requests/*.jsonl") -> None:
    """Read the finished request files, write them again, hash them."""
    for path in sorted(Path(study).glob(pattern)):
        digest = hashlib.sha256()
        copy = Path(study) / "rewritten.tmp"
        with copy.open("wb") as target:
            for piece in _pieces(path):
                target.write(piece)
                digest.update(piece)
        digest.hexdigest()
        copy.unlink()


def scan(study: str) -> None:
    """DuckDB reads the result lines as texts."""
    import duckdb

    files = [str(path) for path in sorted(Path(study).glob("runs/*/responses/*.jsonl"))]
    lines = (
        "SELECT count(*), sum(strlen(line)) FROM read_csv(?, columns={'line': 'VARCHAR'}, delim='\x01', quote='', "
        "escape='', header=false, auto_detect=false, strict_mode=false, max_line_size=10000000)"
    )
    with duckdb.connect() as database:
        database.execute(lines, [files]).fetchall()


def copy_view(study: str, target: str) -> None:
    """DuckDB copies the view `results` into a Parquet file."""
    import duckdb

    with duckdb.connect(str(Path(study) / "results.duckdb"), read_only=True) as database:
        database.execute(f"COPY (FROM results) TO '{target}' (FORMAT parquet)")


def sync(folder: str, lines: str, size: str) -> None:
    """Write and fdatasync so many lines, one by one."""
    path = Path(folder) / "synced.tmp"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    line, length = b"x" * (int(size) - 1) + b"\n", 0
    for _ in range(int(lines)):
        length += os.pwrite(handle, line, length)
        getattr(os, "fdatasync", os.fsync)(handle)
    os.close(handle)
    path.unlink()


def read(path: str) -> None:
    """Read a file to its end."""
    for _ in _pieces(Path(path)):
        pass


def list_pages(port: str, ticks: str) -> None:
    """Read the list of batches, page by page, from its begin to its end, so many times."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port))
    for _ in range(int(ticks)):
        after = ""
        while True:
            connection.request("GET", f"/v1/batches?limit=100{after}", headers={"Authorization": "Bearer x"})
            page = json.loads(connection.getresponse().read())
            if not page["has_more"]:
                break
            after = f"&after={page['data'][-1]['id']}"
    connection.close()


def upload(port: str, path: str, times: str) -> None:
    """Send a file as the body of a POST, so many times."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port))
    size = {"Content-Length": str(Path(path).stat().st_size)}
    for _ in range(int(times)):
        with Path(path).open("rb") as handle:
            connection.request("POST", "/v1/files", body=handle, headers=size)
            connection.getresponse().read()
    connection.close()


def download(port: str, size: str, target: str, times: str) -> None:
    """Write what a GET brings to a file, so many times."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port))
    for _ in range(int(times)):
        connection.request("GET", f"/v1/files/{size}/content")
        response = connection.getresponse()
        with Path(target).open("wb") as handle:
            while piece := response.read(PIECE):
                handle.write(piece)
    connection.close()


LIMITS: Final[Mapping[str, Callable[..., None]]] = {
    limit.__name__: limit for limit in (rewrite, scan, copy_view, sync, read, list_pages, upload, download)
}

if __name__ == "__main__":
    LIMITS[sys.argv[1]](*sys.argv[2:])
