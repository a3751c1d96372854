"""Whatever ends the process: accepted batches go on afterwards, and no row is executed twice."""

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from batchflow.server.faults import load_faults
from batchflow.server.ledger import Ledger
from batchflow.server.pace import Pace
from batchflow.server.responder import Ask, Reply
from batchflow.server.simulator import Simulator
from batchflow.server.store import Store, StoredBatch
from batchflow.server.worker import Worker
from tests.server.client import Client, file_of, line
from tests.server_process import ServerProcess


def test_kill_9_in_the_middle_and_a_restart_on_the_same_port(tmp_path: Path) -> None:
    lines = [line(number) for number in range(1, 1201)]
    server = ServerProcess(tmp_path / "store", rows_per_second=1500)
    with server, Client(server) as client:
        port = server.port
        batch = client.start(lines)
        for reached in (100, 700):
            while client.batch(batch["id"])["request_counts"]["completed"] < reached:
                time.sleep(0.005)
            server.kill9()
            server.restart()
            assert server.port == port
        ended = client.wait(batch["id"])
        assert ended["request_counts"] == {"total": 1200, "completed": 1200, "failed": 0}
        counted = Counter(row["custom_id"] for row in client.results(ended["output_file_id"]))
        assert counted == Counter(one["custom_id"] for one in lines)
        audit = server.audit()
        assert (audit["executions"]["rows"], audit["executions"]["by_custom_id"]["max"]) == (1200, 1)
        assert audit["calls"]["POST /v1/batches"] == 1
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 1.5


def _open(folder: Path) -> tuple[Store, Worker]:
    store = Store(folder)
    return store, Worker(store, Simulator(7), load_faults(None, 7), Pace(delay=0, rows_per_second=10**9))


def _take_in(store: Store, content: bytes) -> StoredBatch:
    store.path_of("file-in").write_bytes(content)
    store.add_file("file-in", "p", size=len(content), created=0, expires=None, filename="in.jsonl", purpose="batch")
    return store.add_batch(
        {
            "id": "batch_1",
            "project": "p",
            "created": 0.0,
            "expires": 2.0**33,
            "endpoint": "/v1/chat/completions",
            "input_file_id": "file-in",
            "completion_window": "24h",
        }
    )


def _carry_through(folder: Path, content: bytes, *, reopen: bool) -> tuple[bytes, dict[str, object]]:
    """The output of a batch, and the audit; with `reopen` the store is opened anew after every single step."""
    store, worker = _open(folder)
    _take_in(store, content)
    while open_batches := store.open_batches():
        worker._pass(open_batches)
        if reopen:
            store.close()
            (folder / "files" / ".half.part").write_bytes(b"torn")
            (folder / "files" / "file-stray").write_bytes(b"published, never recorded")
            store, worker = _open(folder)
    batch = store.batch("p", "batch_1")
    assert batch is not None
    assert batch.status == "completed"
    assert batch.output_file_id is not None
    assert {path.name for path in store.files.iterdir()} == {"file-in", batch.output_file_id}
    output = store.path_of(batch.output_file_id).read_bytes()
    audit = Ledger(store).audit()
    store.close()
    return output, audit


def test_a_death_after_any_step_changes_nothing(tmp_path: Path) -> None:
    content = file_of([line(number, text=f"Question {number % 40}?") for number in range(1, 1600)])
    whole, audit = _carry_through(tmp_path / "whole", content, reopen=False)
    pieces, audit_of_pieces = _carry_through(tmp_path / "pieces", content, reopen=True)

    def answers(output: bytes) -> dict[str, str]:
        rows = map(json.loads, output.splitlines())
        return {row["custom_id"]: row["response"]["body"]["choices"][0]["message"]["content"] for row in rows}

    assert answers(pieces) == answers(whole)
    assert len(answers(whole)) == 1599
    assert audit_of_pieces["executions"] == audit["executions"]


def _refused(server: ServerProcess) -> str:
    ended = subprocess.run(server.command(), capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_second_server_on_the_same_store_fails_at_once(plain: ServerProcess) -> None:
    said = _refused(ServerProcess(plain.store))
    assert "cannot be used: database is locked" in said
    assert "another `batchflow serve` may hold it" in said


def test_a_port_that_is_taken_is_said(plain: ServerProcess, tmp_path: Path) -> None:
    assert f"port {plain.port} on 127.0.0.1 cannot be used" in _refused(ServerProcess(tmp_path / "s", port=plain.port))


def test_another_address_than_loopback_is_refused(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "s", extra=["--host", "0.0.0.0"])  # noqa: S104 - what must be refused
    ended = subprocess.run(server.command(), capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert "a key is needed" in ended.stderr


def test_it_ends_by_itself_when_nobody_asks(tmp_path: Path) -> None:
    audit = tmp_path / "audit.json"
    with ServerProcess(tmp_path / "store", idle=0.5, extra=["--audit", str(audit)]) as server, Client(server) as client:
        batch = client.start([line(1)])
        for _ in range(8):
            time.sleep(0.1)
            client.batch(batch["id"])
        assert server.process is not None
        assert server.process.poll() is None, "requests keep it alive"
        assert server.process.wait(5) == 0
        assert not server.info.exists()
        assert json.loads(audit.read_bytes())["executions"]["rows"] == 1


def test_a_request_that_hangs_does_not_hold_the_end_up(tmp_path: Path) -> None:
    rules = [{"fault": "reply_delay", "on": "batches.list", "seconds": 60}]
    with ServerProcess(tmp_path / "store", faults=rules) as server:
        hanging = subprocess.Popen(
            ["curl", "-s", "-H", "Authorization: Bearer x", f"{server.base_url}/batches"], stdout=subprocess.DEVNULL
        )
        while server.audit()["calls"].get("GET /v1/batches", 0) == 0:
            time.sleep(0.01)
        began = time.monotonic()
        assert server._end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 1.5
        hanging.wait(5)


class _Broken(Simulator):
    """A simulator with a bug that some rows meet."""

    def reply(self, ask: Ask, created: int) -> Reply:
        if b"Question 2?" in ask.body_bytes:
            raise RecursionError("too deep")
        return super().reply(ask, created)


def test_a_bug_of_the_responder_costs_its_row_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    worker = Worker(store, _Broken(7), load_faults(None, 7), Pace(delay=0, rows_per_second=10**9))
    _take_in(store, file_of([line(number, text=f"Question {number}?") for number in range(1, 4)]))
    while open_batches := store.open_batches():
        worker._pass(open_batches)
    batch = store.batch("p", "batch_1")
    assert batch is not None
    assert batch.error_file_id is not None
    (failed,) = map(json.loads, store.path_of(batch.error_file_id).read_bytes().splitlines())
    assert (failed["response"]["status_code"], failed["response"]["body"]["error"]["code"]) == (500, "responder_bug")
    assert [(each["problem"], each["detail"]) for each in Ledger(store).audit()["problems"]] == [
        ("bug of the responder", "RecursionError: too deep")
    ]
    store.close()
