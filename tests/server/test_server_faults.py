"""Each fault does what its name says, and nothing else."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.client import Client, line
from tests.server_process import ServerProcess

_ROWS = [line(number) for number in range(1, 11)]

# one batch for each rule, in this order
BATCH_RULES: dict[str, list[dict[str, Any]]] = {
    "drop_metadata": [{"fault": "drop_metadata"}],
    "token_limit": [{"fault": "token_limit", "tokens": 100}],
    "cannot_find_file": [{"fault": "cannot_find_file"}],
    "batch_failed": [{"fault": "batch_failed", "code": "model_not_found", "line": 4}],
    "expire": [{"fault": "expire", "fraction": 0.6}],
    "missing_lines": [{"fault": "missing_lines", "rows": [2, 3]}],
    "doubled_lines": [{"fault": "doubled_lines", "every": 5}],
    "foreign_lines": [{"fault": "foreign_lines", "rows": 7}],
    "row_error": [
        {"fault": "row_error", "rows": 1, "status": 400, "code": "context_length_exceeded"},
        {"fault": "row_error", "rows": 2, "status": 429, "message": "slow down"},
        {"fault": "row_error", "rows": 3, "status": 500, "file": "output"},
        {"fault": "row_error", "rows": 4, "status": 0},
        {"fault": "row_error", "rows": 5, "code": "overloaded", "without_response": True},
    ],
    "all_rows_fail": [{"fault": "row_error"}],
    "double_encoded": [{"fault": "double_encoded"}],
    "row_outcome": [
        {"fault": "row_outcome", "rows": 1, "outcome": "refusal"},
        {"fault": "row_outcome", "rows": 2, "outcome": "truncated"},
        {"fault": "row_outcome", "rows": 3, "outcome": "filtered"},
        {"fault": "row_outcome", "rows": 4, "outcome": "empty"},
        {"fault": "row_outcome", "rows": 5, "outcome": "no_content"},
        {"fault": "row_outcome", "rows": 6, "outcome": "not_json"},
        {"fault": "row_outcome", "rows": 7, "outcome": "failed"},
        {"fault": "row_outcome", "rows": 8, "outcome": "commentary"},
    ],
    "line_endings": [{"fault": "line_endings"}],
    "null_output": [{"fault": "result_file", "which": "output", "as": None}],
    "blank_error": [{"fault": "result_file", "which": "error", "as": "empty_string"}],
    "empty_error": [{"fault": "result_file", "which": "error", "as": "empty_file"}],
    "absent_error": [{"fault": "result_file", "which": "error", "as": "absent"}],
    "slow_cancel": [{"fault": "slow_cancel", "seconds": 0.6}, {"fault": "stuck"}],
    "status": [{"fault": "status", "value": "paused_by_provider", "seconds": 1.0}],
    "stuck": [{"fault": "stuck"}],
}
_NAMES = list(BATCH_RULES)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Client, dict[str, str]]]:
    """A server, a client, and the id of one batch of ten rows for each name of BATCH_RULES."""
    rules = [{**rule, "batch": number} for number, name in enumerate(_NAMES, 1) for rule in BATCH_RULES[name]]
    with ServerProcess(tmp_path_factory.mktemp("faulty") / "store", faults=rules) as server, Client(server) as client:
        file_id = client.upload(_ROWS).json()["id"]
        yield server, client, {name: client.create(file_id, metadata={"a": "b"}).json()["id"] for name in _NAMES}


Faulty = tuple[ServerProcess, Client, dict[str, str]]


def _ended(faulty: Faulty, name: str) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    _, client, ids = faulty
    batch = client.wait(ids[name])
    return batch, client.results(batch.get("output_file_id")), client.results(batch.get("error_file_id"))


def _ids(rows: list[dict[str, Any]]) -> list[int]:
    return sorted(int(row["custom_id"].removeprefix("r-")) for row in rows)


def test_drop_metadata(faulty: Faulty) -> None:
    assert _ended(faulty, "drop_metadata")[0]["metadata"] is None
    assert _ended(faulty, "doubled_lines")[0]["metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    ("name", "code", "number"),
    [
        ("token_limit", "token_limit_exceeded", None),
        ("cannot_find_file", "invalid_request", None),
        ("batch_failed", "model_not_found", 4),
    ],
)
def test_validation_faults(faulty: Faulty, name: str, code: str, number: int | None) -> None:
    batch, output, error = _ended(faulty, name)
    assert (batch["status"], output, error) == ("failed", [], [])
    assert [(entry["code"], entry["line"]) for entry in batch["errors"]["data"]] == [(code, number)]
    if name == "token_limit":
        assert batch["errors"]["data"][0]["message"] == (
            "Enqueued token limit reached for gpt-4o in organization org-simulated. Limit: 100 enqueued tokens. "
            "Please try again once some in_progress batches have been completed."
        )
    if name == "cannot_find_file":
        assert faulty[1].http.get(f"/files/{batch['input_file_id']}").status_code == 200


def test_expire(faulty: Faulty) -> None:
    batch, output, error = _ended(faulty, "expire")
    assert batch["status"] == "expired"
    assert batch["expired_at"]
    assert batch["request_counts"] == {"total": 10, "completed": 6, "failed": 0}
    assert (len(output), len(error)) == (6, 4)
    assert {(row["response"], row["error"]["code"]) for row in error} == {(None, "batch_expired")}


def test_missing_lines(faulty: Faulty) -> None:
    batch, output, error = _ended(faulty, "missing_lines")
    assert (_ids(output), error) == ([1, 4, 5, 6, 7, 8, 9, 10], [])
    assert batch["request_counts"]["completed"] == 10


def test_doubled_lines(faulty: Faulty) -> None:
    assert _ids(_ended(faulty, "doubled_lines")[1]) == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10]


def test_foreign_lines(faulty: Faulty) -> None:
    output = _ended(faulty, "foreign_lines")[1]
    foreign = [row for row in output if not row["custom_id"].startswith("r-")]
    assert (len(output), len(foreign)) == (11, 1)


def test_row_errors(faulty: Faulty) -> None:
    batch, output, error = _ended(faulty, "row_error")
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 10, "completed": 5, "failed": 5}
    by_id = {row["custom_id"]: row for row in error}
    assert _ids(output) == [3, 6, 7, 8, 9, 10]
    assert [by_id[f"r-{n}"]["response"]["status_code"] for n in (1, 2, 4)] == [400, 429, 0]
    assert by_id["r-1"]["error"] is None
    assert by_id["r-1"]["response"]["body"]["error"]["code"] == "context_length_exceeded"
    assert by_id["r-2"]["response"]["body"]["error"]["message"] == "slow down"
    assert (by_id["r-5"]["response"], by_id["r-5"]["error"]["code"]) == (None, "overloaded")


def test_completed_without_one_success_has_no_output_file(faulty: Faulty) -> None:
    batch, output, error = _ended(faulty, "all_rows_fail")
    assert (batch["status"], batch["output_file_id"], output, len(error)) == ("completed", None, [], 10)


def test_double_encoded(faulty: Faulty) -> None:
    body = _ended(faulty, "double_encoded")[1][0]["response"]["body"]
    assert isinstance(body, str)
    assert json.loads(body)["object"] == "chat.completion"


def test_row_outcomes(faulty: Faulty) -> None:
    answers = {row["custom_id"]: row["response"]["body"] for row in _ended(faulty, "row_outcome")[1]}
    assert answers.pop("r-7")["choices"] == []
    choices = {custom_id: body["choices"][0] for custom_id, body in answers.items()}
    assert choices["r-1"]["message"]["content"] is None
    assert choices["r-1"]["message"]["refusal"]
    assert choices["r-2"]["finish_reason"] == "length"
    assert choices["r-3"]["finish_reason"] == "content_filter"
    assert (choices["r-4"]["message"]["content"], choices["r-4"]["finish_reason"]) == ("", "stop")
    assert choices["r-5"]["message"]["content"] is None
    assert choices["r-6"]["message"]["content"].startswith("{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(choices["r-6"]["message"]["content"])
    assert choices["r-8"]["message"]["content"]


def test_line_endings(faulty: Faulty) -> None:
    batch = faulty[1].wait(faulty[2]["line_endings"])
    content = faulty[1].content(batch["output_file_id"])
    assert content.count(b"\r\n") == content.count(b"\n") == 10
    assert "\u2028".encode() in content
    assert "\u2029".encode() in content
    assert "\u0085".encode() in content
    assert len(content.decode().splitlines()) > 10


def test_result_files(faulty: Faulty) -> None:
    assert _ended(faulty, "null_output")[0]["output_file_id"] is None
    assert faulty[1].wait(faulty[2]["blank_error"])["error_file_id"] == ""
    assert "error_file_id" not in faulty[1].wait(faulty[2]["absent_error"])
    empty = faulty[1].wait(faulty[2]["empty_error"])["error_file_id"]
    assert faulty[1].http.get(f"/files/{empty}").json()["bytes"] == 0
    assert faulty[1].http.get(f"/files/{empty}/content").content == b""


def test_slow_cancel(faulty: Faulty) -> None:
    _, client, ids = faulty
    client.wait(ids["slow_cancel"], until={"in_progress"})
    began = time.monotonic()
    assert client.http.post(f"/batches/{ids['slow_cancel']}/cancel").json()["status"] == "cancelling"
    batch, output, error = _ended(faulty, "slow_cancel")
    assert time.monotonic() - began >= 0.6
    assert (batch["status"], len(output), error) == ("cancelled", 10, []), "it went on executing meanwhile"


def test_a_stuck_batch_stays_but_can_be_cancelled(faulty: Faulty) -> None:
    _, client, ids = faulty
    assert client.wait(ids["stuck"], until={"in_progress"})["request_counts"]["completed"] == 0
    client.wait(ids["status"])
    assert client.batch(ids["stuck"])["status"] == "in_progress"
    client.http.post(f"/batches/{ids['stuck']}/cancel")
    batch, output, error = _ended(faulty, "stuck")
    assert (batch["status"], output, len(error)) == ("cancelled", [], 10)


def test_executed_rows_are_billed_whatever_became_of_their_lines(faulty: Faulty) -> None:
    server, client, ids = faulty
    client.wait(ids["missing_lines"])
    client.wait(ids["row_error"])
    by_id = {batch["id"]: batch["rows_executed"] for batch in server.audit()["batches"]}
    assert (by_id[ids["missing_lines"]], by_id[ids["row_error"]], by_id[ids["token_limit"]]) == (10, 5, 0)


CALL_RULES = [
    {"fault": "lost_reply", "on": "files.create", "nth": 2},
    {"fault": "lost_reply", "on": "batches.create", "nth": 1},
    {"fault": "reply_delay", "on": "batches.create", "nth": 2, "seconds": 0.5},
    {
        "fault": "http_error",
        "on": "batches.create",
        "nth": [3],
        "status": 429,
        "code": "rate_limit_exceeded",
        "retry_after": 2,
    },
    {"fault": "http_error", "on": ["files.create", "files.retrieve"], "nth": 3, "status": 503, "message": "down"},
    {"fault": "list_damaged", "how": "null_data", "nth": 1},
    {"fault": "list_damaged", "how": "error_object", "nth": 2},
    {"fault": "list_damaged", "how": "html", "nth": 3},
    {"fault": "list_damaged", "how": "repeat_page", "nth": 4},
    {"fault": "cut_download", "bytes": 100, "nth": 1},
    {"fault": "cut_download", "bytes": 100, "with_length": False, "nth": 2},
    {"fault": "list_lag", "batch": 3, "seconds": 60},
]


def test_faults_of_calls(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store", faults=CALL_RULES) as server, Client(server) as client:
        file_id = client.upload(_ROWS).json()["id"]
        with pytest.raises(httpx2.RemoteProtocolError):
            client.upload(_ROWS)
        assert len(client.http.get("/files").json()["data"]) == 2, "the work was done"
        refused = client.upload(_ROWS)
        assert (refused.status_code, refused.json()["error"]["message"]) == (503, "down")
        assert len(client.http.get("/files").json()["data"]) == 2, "the work was not done"

        with pytest.raises(httpx2.RemoteProtocolError):
            client.create(file_id)
        began = time.monotonic()
        second = client.create(file_id).json()["id"]
        assert time.monotonic() - began >= 0.5
        refused = client.create(file_id)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        third = client.create(file_id).json()["id"]

        assert client.http.get("/batches").json()["data"] is None
        assert "data" not in client.http.get("/batches").json()
        assert client.http.get("/batches").headers["content-type"].startswith("text/html")
        first_page = client.http.get("/batches", params={"limit": 1, "after": second}).json()
        assert (first_page["last_id"], first_page["has_more"]) == (second, True)
        listed = client.http.get("/batches").json()
        assert len(listed["data"]) == 2, "the batch whose reply was lost exists; the third lags"
        assert third not in {batch["id"] for batch in listed["data"]}
        assert client.batch(third)["id"] == third

        output = client.wait(third)["output_file_id"]
        with pytest.raises(httpx2.RemoteProtocolError):
            client.content(output)
        assert len(client.content(output)) == 100, "a silent cut"
        assert len(client.content(output)) > 100
        assert server.audit()["calls"]["POST /v1/batches"] == 4

        server.restart()
        assert client.create(file_id).status_code == 200, "ordinals go on counting"
        assert third not in {batch["id"] for batch in client.http.get("/batches").json()["data"]}


def test_the_queue_holds_so_many_batches(tmp_path: Path) -> None:
    rules = [{"fault": "token_limit", "batches": 1}, {"fault": "stuck", "batch": 1}]
    with ServerProcess(tmp_path / "store", faults=rules) as server, Client(server) as client:
        first = client.start(_ROWS)["id"]
        client.wait(first, until={"in_progress"})
        assert client.run(_ROWS)["errors"]["data"][0]["code"] == "token_limit_exceeded"
        with Client(server, key="sk-other") as other:
            assert other.run(_ROWS)["status"] == "completed"
        client.http.post(f"/batches/{first}/cancel")
        client.wait(first)
        assert client.run(_ROWS)["status"] == "completed"
