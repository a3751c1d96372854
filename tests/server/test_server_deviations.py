"""Deviations of other servers and later breakages: each is shown on the wire as its rule says."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from batchflow.server.validation import as_told
from tests.server.client import Client, line
from tests.server_process import ServerProcess

_ROWS = [line(number) for number in range(1, 9)]
RULES: dict[str, dict[str, Any]] = {
    "cancel": {"fault": "cancel", "fraction": 0.5},
    "omitted": {"fault": "dialect", "how": ["unset_omitted", "uppercase_status", "window_1d"]},
    "dates": {"fault": "dialect", "how": ["rfc3339_dates", "counts_absent"]},
    "timeless": {"fault": "dialect", "how": ["no_timestamps", "counts_null"]},
    "zero": {"fault": "dialect", "how": "counts_zero"},
    "field": {"fault": "reply_field", "name": "completion_window", "value": "336h"},
    "absent": {"fault": "reply_field", "name": "errors", "absent": True},
    "empty_metadata": {"fault": "drop_metadata", "as": "empty"},
    "late": {"fault": "late_output", "seconds": 3.0},
    "gone": {"fault": "file_gone", "which": "output"},
    "input_gone": {"fault": "file_gone", "which": "input"},
    "purpose": {"fault": "output_purpose"},
    "form": {"fault": "output_form", "how": ["no_final_newline", "byte_order_mark"]},
    "broken": {"fault": "broken_lines", "rows": 2},
    "blank": {"fault": "blank_lines"},
    "no_error": {"fault": "no_error_member"},
    "no_status": {"fault": "row_error", "rows": 1, "form": "no_status"},
    "message_only": {"fault": "row_error", "rows": 1, "form": "message_only"},
    "flat": {"fault": "row_error", "rows": 1, "form": "flat", "message": "no"},
    "finalizing": {"fault": "stuck", "at": "finalizing"},
}
_NAMES = list(RULES)
_ENDED = {"completed", "failed", "expired", "cancelled", "COMPLETED"}


class Served:
    """One batch of eight rows for each name of RULES."""

    def __init__(self, client: Client) -> None:
        self.client = client
        file_id = client.upload(_ROWS).json()["id"]
        self.ids = {name: client.create(file_id, metadata={"a": "b"}).json()["id"] for name in _NAMES}

    def ended(self, name: str) -> dict[str, Any]:
        return self.client.wait(self.ids[name], until=_ENDED)

    def output(self, name: str) -> bytes:
        return self.client.content(self.ended(name)["output_file_id"])

    def errors(self, name: str) -> list[dict[str, Any]]:
        return self.client.results(self.ended(name)["error_file_id"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    rules = [{**RULES[name], "batch": number} for number, name in enumerate(_NAMES, 1)]
    with ServerProcess(tmp_path_factory.mktemp("odd") / "store", faults=rules) as server, Client(server) as client:
        yield Served(client)


def test_cancelled_by_the_provider_part_way(served: Served) -> None:
    batch = served.ended("cancel")
    assert batch["status"] == "cancelled"
    assert batch["request_counts"] == {"total": 8, "completed": 4, "failed": 0}
    assert (served.output("cancel").count(b"\n"), len(served.errors("cancel"))) == (4, 4)


def test_objects_of_other_servers(served: Served) -> None:
    omitted = served.ended("omitted")
    assert (omitted["status"], omitted["completion_window"]) == ("COMPLETED", "1d")
    assert None not in omitted.values()
    dates = served.ended("dates")
    assert dates["created_at"].endswith("Z")
    assert "request_counts" not in dates
    timeless = served.ended("timeless")
    assert (timeless["completed_at"], timeless["expires_at"], timeless["request_counts"]) == (None, None, None)
    assert served.ended("zero")["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert served.ended("field")["completion_window"] == "336h"
    assert "errors" not in served.ended("absent")
    assert served.ended("empty_metadata")["metadata"] == {}


def test_result_files_that_come_late_or_go(served: Served) -> None:
    batch = served.ended("late")
    assert batch["output_file_id"] is None
    end = time.monotonic() + 10
    while served.client.batch(batch["id"])["output_file_id"] is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    gone = served.ended("gone")["output_file_id"]
    assert served.client.http.get(f"/files/{gone}").status_code == 404
    assert served.client.http.get(f"/files/{gone}/content").status_code == 404


def test_an_input_that_is_gone_is_gone_for_all(served: Served) -> None:
    batch = served.ended("input_gone")
    assert batch["status"] == "completed", "the batch itself was read already"
    assert served.client.http.get(f"/files/{batch['input_file_id']}").status_code == 404


def test_result_files_of_another_form(served: Served) -> None:
    stored = served.client.http.get(f"/files/{served.ended('purpose')['output_file_id']}").json()
    assert stored["purpose"] == "batch"
    content = served.output("form")
    assert content.startswith(b"\xef\xbb\xbf{")
    assert content.endswith(b"}")
    assert len(content.decode("utf-8-sig").splitlines()) == 8
    broken = [one for one in served.output("broken").splitlines() if not one.endswith(b"}")]
    assert len(broken) == 1
    assert served.output("blank").count(b"\n") == 24
    assert "error" not in json.loads(served.output("no_error").splitlines()[0])


def test_error_lines_of_another_form(served: Served) -> None:
    (line_of,) = served.errors("no_status")
    assert "status_code" not in line_of["response"]
    (line_of,) = served.errors("message_only")
    assert set(line_of) == {"custom_id", "error"}
    assert set(line_of["error"]) == {"message"}
    (line_of,) = served.errors("flat")
    assert line_of["error"] == "no"


def test_a_batch_that_never_finishes(served: Served) -> None:
    served.ended("field")
    assert served.client.wait(served.ids["finalizing"], until={"finalizing"})["output_file_id"] is None


CALLS = [
    {"fault": "connection_reset", "on": "batches.create", "nth": 1},
    {"fault": "spoilt_reply", "on": "batches.create", "nth": 2, "how": "broken_json"},
    {"fault": "spoilt_reply", "on": "batches.retrieve", "nth": 1, "how": "html"},
    {"fault": "spoilt_reply", "on": "batches.retrieve", "nth": 2, "how": "array"},
    {"fault": "spoilt_reply", "on": "batches.retrieve", "nth": 3, "how": "empty"},
    {"fault": "spoilt_reply", "on": "batches.retrieve", "nth": 4, "how": "text"},
    {"fault": "wrong_size", "on": "files.create", "nth": 1, "by": -5},
    {"fault": "bare_ids", "on": ["files.create", "batches.create"], "nth": 3},
    {"fault": "http_error", "on": "files.list", "nth": 1, "status": 502, "html": True, "message": "Bad Gateway"},
    {"fault": "list_damaged", "how": "bare_array", "nth": 1},
    {"fault": "list_damaged", "how": "no_data", "nth": 2},
    {"fault": "list_damaged", "how": "unordered", "nth": 3},
]


def test_replies_that_are_spoilt(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store", faults=CALLS) as server, Client(server) as client:
        uploaded = client.upload(_ROWS).json()
        assert client.http.get(f"/files/{uploaded['id']}").json()["bytes"] == uploaded["bytes"] + 5
        with pytest.raises(httpx2.TransportError):
            client.create(uploaded["id"])
        reply = client.create(uploaded["id"])
        assert reply.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            reply.json()
        third = client.create(uploaded["id"]).json()["id"]
        assert not third.startswith("batch_")
        assert client.http.get(f"/batches/{third}").headers["content-type"].startswith("text/html")
        assert client.http.get(f"/batches/{third}").json()[0]["id"] == third
        assert client.http.get(f"/batches/{third}").content == b""
        assert client.http.get(f"/batches/{third}").text == "upstream connect error"
        refused = client.http.get("/files")
        assert (refused.status_code, refused.headers["content-type"][:9]) == (502, "text/html")
        assert isinstance(client.http.get("/batches").json(), list)
        assert "data" not in client.http.get("/batches").json()
        assert len(client.http.get("/batches").json()["data"]) == 2, "the reset call made no batch"
        assert not client.wait(third)["output_file_id"].startswith("file-")
        client.upload(_ROWS)
        assert not client.upload(_ROWS).json()["id"].startswith("file-")


def test_bodies_of_other_services(tmp_path: Path) -> None:
    told = {"detail": [{"msg": "limit"}]}
    rules: list[dict[str, Any]] = [
        {"fault": "http_error", "on": "batches.list", "status": 422, "body": told},
        {"fault": "spoilt_reply", "on": "batches.create", "how": "wrapped"},
    ]
    with ServerProcess(tmp_path / "store", faults=rules) as server, Client(server) as client:
        refused = client.http.get("/batches?limit=1000")
        assert (refused.status_code, refused.json()) == (422, told)
        created = client.create(client.upload(_ROWS).json()["id"]).json()
        assert (created["job"]["object"], created["warning"]) == ("batch", None)


def test_no_money_left_after_so_many_rows(tmp_path: Path) -> None:
    rules = [{"fault": "quota_gone", "after": 11}]
    with ServerProcess(tmp_path / "store", faults=rules) as server, Client(server) as client:
        first, second = client.run(_ROWS), client.run(_ROWS)
        assert [batch["status"] for batch in (first, second)] == ["completed", "completed"]
        assert second["request_counts"] == {"total": 8, "completed": 3, "failed": 5}
        errors = client.results(second["error_file_id"])
        assert {one["response"]["body"]["error"]["code"] for one in errors} == {"insufficient_quota"}
        assert server.audit()["billed"]["requests"] == 11


def test_a_queue_that_others_fill(tmp_path: Path) -> None:
    rules = [{"fault": "token_limit", "batches": 1, "shared": True, "foreign_batches": 1, "foreign_seconds": 1.0}]
    with ServerProcess(tmp_path / "store", faults=rules, delay=1.5) as server, Client(server) as client:
        assert client.run(_ROWS)["errors"]["data"][0]["code"] == "token_limit_exceeded"
        time.sleep(1.0)
        mine = client.start(_ROWS)["id"]
        client.wait(mine, until={"in_progress"})
        with Client(server, key="sk-other") as other:
            assert other.run(_ROWS)["errors"]["data"][0]["code"] == "token_limit_exceeded"


@pytest.mark.parametrize("code", ["invalid_url", "empty_file", "duplicate_custom_id", "billing_hard_limit_reached"])
def test_every_failure_has_its_words(code: str) -> None:
    told = as_told(code, None, 3, None)
    assert told["line"] == 3
    assert code not in told["message"]


def test_faults_of_one_batch_through_its_metadata(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store", delay=1.0) as server, Client(server) as client:
        told = {"batchflow_faults": "drop_metadata; expire fraction=0.5; row_error rows=1 status=429"}
        asked = client.start(_ROWS, metadata=told)
        assert asked["metadata"] is None
        server.kill9()
        server.start()
        batch = client.wait(asked["id"])
        assert (batch["status"], batch["request_counts"]) == ("expired", {"total": 8, "completed": 3, "failed": 1})
        assert client.run(_ROWS, metadata={"other": "expire"})["status"] == "completed"
        wrong = client.create(batch["input_file_id"], metadata={"batchflow_faults": "expire fractoin=1"})
        assert wrong.status_code == 400
        assert wrong.json()["error"]["param"] == "metadata.batchflow_faults"
        assert "did you mean `fraction`?" in wrong.json()["error"]["message"]


@pytest.mark.parametrize("how", ["refused", "ignored"])
def test_a_server_that_knows_nothing_of_expiry(how: str, tmp_path: Path) -> None:
    faults = [{"fault": "no_expiry", "on": ["files.create", "batches.create"], "how": how}]
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    kept = {"anchor": "created_at", "seconds": 3600}
    with ServerProcess(tmp_path / "store", faults=faults) as server, Client(server) as client:
        uploaded = client.upload(_ROWS, **fields)
        file = client.upload(_ROWS).json()
        created = client.create(file["id"], output_expires_after=kept)
        if how == "refused":
            assert [uploaded.json()["error"]["param"], created.json()["error"]["param"]] == [
                "expires_after",
                "output_expires_after",
            ]
            assert client.create(file["id"]).status_code == 200
            return
        assert uploaded.json()["expires_at"] - uploaded.json()["created_at"] == 30 * 86_400
        output = client.http.get(f"/files/{client.wait(created.json()['id'])['output_file_id']}").json()
        assert output["expires_at"] - output["created_at"] == 30 * 86_400
