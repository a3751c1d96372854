"""The server's own clock: a day in a second, and time that neither stops nor goes back; latency from the seed."""

import time
from pathlib import Path

import pytest

from batchflow.errors import UsageError
from batchflow.server.pace import Pace, parse_latency
from batchflow.server.store import Store, StoredBatch
from tests.server.client import Client, line
from tests.server_process import ServerProcess

DAY = 86_400
_ROWS = [line(number) for number in range(1, 21)]


def test_a_batch_expires_after_a_day_that_takes_a_second(tmp_path: Path) -> None:
    extra = ["--speed", str(DAY)]
    with ServerProcess(tmp_path / "store", rows_per_second=1 / 8000, extra=extra) as server, Client(server) as client:
        began = time.monotonic()
        batch = client.run(_ROWS)
        assert time.monotonic() - began < 10
        assert batch["status"] == "expired"
        assert DAY <= batch["expired_at"] - batch["created_at"] < 3 * DAY
        counts = batch["request_counts"]
        assert 5 <= counts["completed"] <= 12
        assert (counts["total"], counts["failed"]) == (20, 0)
        assert len(client.results(batch["error_file_id"])) == 20 - counts["completed"]

        server.kill9()
        server.start()
        later = client.start(_ROWS)
        assert later["created_at"] >= batch["expired_at"], "nothing lies in the future of the restarted server"
        server.stop()
        server.extra = ()
        server.start()
        assert client.start(_ROWS)["created_at"] >= later["created_at"], "also at the ordinary pace"


def test_files_are_gone_after_thirty_days(tmp_path: Path) -> None:
    extra = ["--speed", str(20 * DAY)]
    with ServerProcess(tmp_path / "store", extra=extra) as server, Client(server) as client:
        uploaded = client.upload(_ROWS).json()
        assert uploaded["expires_at"] == uploaded["created_at"] + 30 * DAY
        assert client.http.get(f"/files/{uploaded['id']}").status_code == 200
        time.sleep(1.8)
        assert client.http.get(f"/files/{uploaded['id']}/content").status_code == 404
        assert client.http.get("/files").json()["data"] == []


def test_files_are_gone_after_the_time_that_was_asked_for(tmp_path: Path) -> None:
    hour = {"anchor": "created_at", "seconds": 3600}
    with ServerProcess(tmp_path / "store", extra=["--speed", "1200"]) as server, Client(server) as client:
        fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "86400"}
        uploaded = client.upload(_ROWS, **fields).json()
        batch = client.wait(client.create(uploaded["id"], output_expires_after=hour).json()["id"])
        output = client.http.get(f"/files/{batch['output_file_id']}").json()
        assert (output["expires_at"] - output["created_at"], batch["status"]) == (3600, "completed")
        assert client.http.get(f"/files/{output['id']}/content").status_code == 200
        until = time.monotonic() + 20
        while client.http.get(f"/files/{output['id']}").status_code == 200 and time.monotonic() < until:
            time.sleep(0.2)
        assert client.http.get(f"/files/{output['id']}/content").status_code == 404
        assert client.http.delete(f"/files/{output['id']}").status_code == 404
        assert [one["id"] for one in client.http.get("/files").json()["data"]] == [uploaded["id"]]


def _batch(store: Store, number: int) -> StoredBatch:
    values = {"id": f"batch_{number}", "project": "p", "endpoint": "/v1/chat/completions", "input_file_id": "file-1"}
    times = {"completion_window": "24h", "created": 0.0, "expires": 1e9, "total": 1000}
    return store.add_batch({**values, **times})


def test_latency_is_drawn_from_the_seed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    batches = [_batch(store, number) for number in range(1, 51)]
    store.close()

    def delays(seed: int) -> list[float]:
        return [Pace(0.3, 100, (120.0, 1200.0), seed).delay_of(batch) for batch in batches]

    assert delays(1) == delays(1) != delays(2)
    assert 120 <= min(delays(1)) < 250
    assert 1100 < max(delays(1)) <= 1200
    pace = Pace(0.3, 100, (120.0, 1200.0), 1)
    for batch in batches:
        delay = pace.delay_of(batch)
        reached = [pace.reached(batch, delay * step / 100) for step in range(101)]
        assert reached == sorted(reached), "never back"
        assert (reached[20], reached[81], len(set(reached)) > 30) == (0, 1000, True)
    assert len({pace.reached(batch, pace.delay_of(batch) / 2) for batch in batches}) > 30, "each has its own bend"
    assert Pace(0.3, 100).reached(batches[0], 0.0) == 1000


def test_rows_come_one_after_the_other(tmp_path: Path) -> None:
    extra = ["--speed", "60", "--latency", "2m..3m"]
    with ServerProcess(tmp_path / "store", extra=extra) as server, Client(server) as client:
        batch = client.start(_ROWS)
        seen: set[int] = set()
        while batch["status"] != "completed":
            seen.add(batch["request_counts"]["completed"])
            time.sleep(0.02)
            batch = client.batch(batch["id"])
        assert len(seen) > 2
        assert batch["completed_at"] - batch["created_at"] >= 120


@pytest.mark.parametrize("text", ["5", "20m..5s", "1y", "..5s", "5s.."])
def test_latency_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageError):
        parse_latency(text)


def test_latency_in_its_units() -> None:
    assert parse_latency("5s..1.5h") == (5.0, 5400.0)
    assert parse_latency("2d") == (172_800.0, 172_800.0)
    assert parse_latency(None) is None
