"""The audit tells what the client did wrong; it is written at the end, and shown by a command."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.docs.pages import code, page, rows, section
from tests.server.client import Client, file_of, line
from tests.server_process import ServerProcess

_ROWS = [line(1), line(2)]


def _problems(server: ServerProcess) -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for seen in server.audit()["problems"]:
        found.setdefault(seen["problem"], []).append((seen["detail"], seen["times"]))
    return found


def test_a_good_client_has_no_problems(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store", delay=0.5) as server, Client(server) as client:
        batch = client.start(_ROWS)
        while client.batch(batch["id"])["status"] != "completed":
            time.sleep(0.1)
        client.content(client.http.get(f"/batches/{batch['id']}", params={}).json()["output_file_id"])
        assert set(_problems(server)) <= {"polling too fast"}


def test_problems_in_what_the_client_does(tmp_path: Path) -> None:
    rules = [{"fault": "stuck"}]
    with ServerProcess(tmp_path / "store", faults=rules) as server, Client(server) as client:
        batch = client.start(_ROWS)
        client.create(batch["input_file_id"])
        client.content(batch["input_file_id"])
        for _ in range(30):  # some of them close together, also on a busy machine
            client.batch(batch["id"])
        client.http.get("/batches", params={"limit": 101})
        client.http.get("/batches", params={"status": "completed"})
        client.create(batch["input_file_id"], idempotency_key="x")
        client.http.post("/batches", content=b"{}", headers={"content-type": "text/plain"})
        httpx2.get(f"{server.base_url}/batches")
        client.http.delete(f"/files/{batch['input_file_id']}")
        problems = _problems(server)
    assert problems["second batch on the input of an open one"] == [(batch["input_file_id"], 2)]
    assert problems["downloaded the input of an open batch"] == [(batch["input_file_id"], 1)]
    assert problems["deleted the input of an open batch"] == [(batch["input_file_id"], 1)]
    assert problems["polling too fast"][0][0].startswith("batches.retrieve")
    assert problems["unknown query parameter"] == [("batches.list: status", 1)]
    assert problems["wrong content type"][0] == ("batches.create: text/plain in place of application/json", 1)
    assert problems["not let in"][0][0].startswith("401")
    refused = [detail for detail, _ in problems["refused"]]
    assert any("above maximum value" in detail for detail in refused)
    assert any("Unknown parameter: 'idempotency_key'" in detail for detail in refused)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_audit_is_written_at_the_end(tmp_path: Path, number: signal.Signals) -> None:
    written = tmp_path / "audit.json"
    with ServerProcess(tmp_path / "store", extra=["--audit", str(written)]) as server, Client(server) as client:
        client.run(_ROWS)
        assert server.process is not None
        server.process.send_signal(number)
        assert server.process.wait(20) == 0
    audit = json.loads(written.read_text())
    assert audit["billed"] == {"requests": 2}
    assert audit["calls"]["POST /v1/batches"] == 1
    assert isinstance(audit["problems"], list)


def _shown(target: str, *more: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "batchflow", "serve", "audit", target, *more],
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def _object(shown: tuple[int, str, str]) -> dict[str, Any]:
    assert shown[0] == 0, shown[2]
    value = json.loads(shown[1])
    assert isinstance(value, dict)
    return value


def test_the_command_asks_the_server_or_reads_the_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with ServerProcess(store, token=ServerProcess.new_token()) as server, Client(server) as client:
        client.upload([file_of(_ROWS)])
        client.run(_ROWS)
        held = _object(_shown(str(store), "--json"))
        assert (held["schema"], held["billed"]) == ("batchflow.audit/1", {"requests": 2})
        assert _shown(server.base_url)[0] == 3, "the key is not known"
        server.kill9()
    explained = [code(row[0])[0] for row in rows(section(page("docs/reference/json.md"), "## serve audit"), "field")]
    assert {name.partition(".")[0].partition("[")[0] for name in explained} == set(held)
    again = _object(_shown(str(store), "--json"))
    assert again["executions"] == held["executions"]
    status, text, _ = _shown(str(store))
    assert status == 0
    assert "2 rows executed and billed" in text
    assert "POST /v1/batches" in text
    assert _shown(str(tmp_path))[0] == 2
    assert _shown("http://example.com/v1")[0] == 2
