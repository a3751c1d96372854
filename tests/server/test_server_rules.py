"""What the API refuses, at once or while it validates, and who may see what."""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.client import Client, line
from tests.server_process import ServerProcess

EVERYBODY = "0.0.0.0"  # noqa: S104 - what is tested


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.json", [line(1)], "Invalid file format for Batch API. Must be .jsonl"),
        ("upload", [line(1)], "Invalid file format for Batch API. Must be .jsonl"),
        ("in.jsonl", [], "empty"),
        ("in.jsonl", [b"not json\n"], "first line"),
        ("in.jsonl", [b"\xef\xbb\xbf{}\n"], "first line"),
    ],
)
def test_uploads_that_are_refused(client: Client, name: str, content: list[Any], said: str) -> None:
    refused = client.upload(content, name)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]
    assert refused.json()["error"]["code"] is None
    assert client.http.get("/files").json()["data"] == []


def test_an_upload_whose_later_lines_are_broken_is_accepted(client: Client) -> None:
    assert client.upload([line(1), b"broken\n"]).status_code == 200


@pytest.mark.parametrize(
    ("kept", "code", "param", "words"),
    [
        (("created_at", 3599), "integer_below_min_value", "seconds", "Expected a value >= 3600, but got 3599 instead"),
        (("created_at", 2_592_001), "integer_above_max_value", "seconds", "Expected a value <= 2592000, but got"),
        (("completed_at", 3600), "invalid_value", "anchor", "Supported values are: 'created_at'"),
        ((None, 3600), "missing_required_parameter", "anchor", ""),
        (("created_at", None), "missing_required_parameter", "seconds", ""),
    ],
)
def test_an_expiry_out_of_bounds_is_refused(
    client: Client, kept: tuple[str | None, int | None], code: str, param: str, words: str
) -> None:
    named = {name: value for name, value in zip(("anchor", "seconds"), kept, strict=True) if value is not None}
    for reply, name in (
        (client.upload([line(1)], **{f"expires_after[{key}]": str(value) for key, value in named.items()}), ""),
        (client.create("file-x", output_expires_after=named), "output_"),
    ):
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert (error["code"], error["param"]) == (code, f"{name}expires_after.{param}")
        assert words in error["message"]
    assert client.http.get("/files").json()["data"] == client.http.get("/batches").json()["data"] == []


@pytest.mark.parametrize("seconds", [3600, 2_592_000])
def test_the_bounds_of_an_expiry_are_taken(client: Client, seconds: int) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(seconds)}
    file = client.upload([line(1)], **fields).json()
    assert file["expires_at"] - file["created_at"] == seconds
    kept = {"anchor": "created_at", "seconds": seconds}
    batch = client.wait(client.create(file["id"], output_expires_after=kept).json()["id"])
    output = client.http.get(f"/files/{batch['output_file_id']}").json()
    assert output["expires_at"] - output["created_at"] == seconds


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"endpoint": "/v1/wrong"}, "invalid_value", "endpoint"),
        ({"endpoint": "/v1/videos"}, "invalid_value", "endpoint"),
        ({"completion_window": "1h"}, "invalid_value", "completion_window"),
        ({"input_file_id": None}, "missing_required_parameter", "input_file_id"),
        ({"metadata": {"tags": ["a"]}}, "invalid_type", "metadata.tags"),
        ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "object_above_max_properties", "metadata"),
        ({"nonsense": 1}, "unknown_parameter", "nonsense"),
    ],
)
def test_batches_that_are_refused(client: Client, changes: dict[str, Any], code: str, param: str) -> None:
    refused = client.create("file-x", **changes)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert client.http.get("/batches").json()["data"] == []


def test_half_a_character_is_never_kept(client: Client) -> None:
    body = '{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h","metadata":%s}'
    for metadata in (
        '{"a":"\\ud800"}',
        '{"\\ud800":"a"}',
        '{"batchflow_faults":"reply_field name=object value=\\ud800"}',
    ):
        answer = client.http.post("/batches", content=(body % metadata).encode())
        assert answer.status_code == 400
    told = client.http.post("/batches", content=b'{"endpoint":"\\ud800"}').json()["error"]
    assert told["message"] == "We could not parse the JSON body of your request."
    asked = b'{"model":"m","messages":[{"role":"user","content":"Is it \\"\\ud800\\" or \\"b\\"?"}]}'
    assert client.http.post("/chat/completions", content=asked).status_code == 200
    assert client.http.get("/batches").json()["data"] == []


@pytest.mark.parametrize("value", ["NaN", "1e999", '{"a":[NaN]}', '"\\ud800"'])
def test_a_fault_cannot_make_a_batch_unreadable(client: Client, value: str) -> None:
    rule = f'{{"fault":"reply_field","name":"object","value":{value}}}'
    refused = client.create("file-1", metadata={"batchflow_faults": rule})
    assert (refused.status_code in {200, 400}, client.http.get("/batches").status_code) == (True, 200)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 5000])
def test_numbers_that_json_does_not_know(client: Client, number: str) -> None:
    body = f'{{"model":"m","input":"x","temperature":{number},"store":{number}}}'.encode()
    assert client.http.post("/responses", content=body).status_code == 400
    bad = b'{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":' + body + b"}\n"
    batch = client.run([line(1), bad])
    assert [(one["code"], one["line"]) for one in batch["errors"]["data"]] == [("invalid_json_line", 2)]


@pytest.mark.parametrize("seconds", ["9" * 5000, "\u0663\u0666\u0660\u0660", "3600.0", "-1", ""])
def test_an_expiry_that_is_no_number_is_refused(client: Client, seconds: str) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}
    assert client.upload([line(1)], **fields).status_code == 400


@pytest.mark.parametrize(
    ("wanted", "status", "length"),
    [
        ("bytes=0-9", 206, 10),
        ("bytes=-5", 206, 5),
        ("bytes=9999999-", 416, 0),
        ("bytes=5-2", 200, None),
        ("bytes=a-b", 200, None),
        ("bytes=", 200, None),
        ("bytes=-", 200, None),
        ("lines=0-1", 200, None),
        ("nonsense", 200, None),
        ("bytes=0-" + "9" * 5000, 200, None),
    ],
)
def test_a_range_that_is_none_is_ignored(client: Client, wanted: str, status: int, length: int | None) -> None:
    file = client.upload([line(1)]).json()
    answer = client.http.get(f"/files/{file['id']}/content", headers={"range": wanted})
    assert (answer.status_code, len(answer.content)) == (status, file["bytes"] if length is None else length)


def test_an_address_with_a_slash_too_many_is_unknown(client: Client) -> None:
    assert client.http.get("/batches/").json()["error"]["code"] == "unknown_url"


def test_the_limit_of_a_page_has_bounds(client: Client) -> None:
    assert client.http.get("/batches?limit=101").json()["error"]["code"] == "integer_above_max_value"
    assert client.http.get("/batches?limit=0").json()["error"]["code"] == "integer_below_min_value"


def _body(**changes: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "?"}]} | changes


@pytest.mark.parametrize(
    ("spoilt", "code", "param"),
    [
        (b"broken\n", "invalid_json_line", None),
        (b'{"custom_id": NaN}\n', "invalid_json_line", None),
        (b"[" * 100_000 + b"\n", "invalid_json_line", None),
        (line(3, method=None), "missing_required_parameter", "method"),
        (line(3, custom_id=None), "missing_required_parameter", "custom_id"),
        (line(3, body={"model": "gpt-4o"}), "missing_required_parameter", "body.messages"),
        (line(3, body={"messages": []}), "missing_required_parameter", "body.model"),
        (line(3, url="/v1/responses"), "invalid_url", "url"),
        (line(3, model="gpt-5"), "mismatched_model", "body.model"),
        (line(3, custom_id="r-1"), "duplicate_custom_id", "custom_id"),
        (line(3, body=_body(stream=True)), "streaming_unsupported", "body.stream"),
    ],
)
def test_one_bad_line_fails_the_whole_batch(
    plain: ServerProcess, client: Client, spoilt: Any, code: str, param: str | None
) -> None:
    before = plain.audit()["executions"]["rows"]
    batch = client.run([line(1), b"\n", line(2), spoilt, line(4)])
    assert batch["status"] == "failed"
    assert [(error["code"], error["line"], error["param"]) for error in batch["errors"]["data"]] == [(code, 4, param)]
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)
    assert plain.audit()["executions"]["rows"] == before


_RESPONSES = {"url": "/v1/responses", "body": {"model": "gpt-5", "input": "?"}}
_EMBEDDINGS = {"url": "/v1/embeddings", "body": {"model": "text-embedding-3-small", "input": "?"}}


@pytest.mark.parametrize(
    ("good", "body", "code", "told"),
    [
        (_RESPONSES, {"model": "gpt-5"}, "missing_required_parameter", ("body.input", "'input'")),
        (_RESPONSES, {"input": "?"}, "missing_required_parameter", ("body.model", "'model'")),
        (_RESPONSES, {"input": "?", "model": "x"}, "mismatched_model", ("body.model", "single model")),
        (
            _RESPONSES,
            {"input": "?", "model": "gpt-5", "stream": True},
            "streaming_unsupported",
            ("body.stream", "Responses:"),
        ),
        (_EMBEDDINGS, {"model": "text-embedding-3-small"}, "missing_required_parameter", ("body.input", "'input'")),
    ],
)
def test_a_bad_line_of_the_other_endpoints(
    client: Client, good: dict[str, Any], body: dict[str, Any], code: str, told: tuple[str, str]
) -> None:
    batch = client.run([line(1, **good), line(2, **{**good, "body": body})], endpoint=good["url"])
    error = batch["errors"]["data"][0]
    assert (batch["status"], error["code"], error["line"], error["param"]) == ("failed", code, 2, told[0])
    assert told[1] in error["message"]


def test_a_custom_id_of_half_a_character_fails_the_batch_and_not_the_server(client: Client) -> None:
    for member in ('"custom_id":"\\ud800"', '"custom_id":"b"'):
        body = '{"model":"\\ud800","messages":[{"role":"user","content":"x"}]}'
        bad = f'{{{member},"method":"POST","url":"/v1/chat/completions","body":{body}}}\n'.encode()
        batch = client.run([line(1), bad])
        assert (batch["status"], batch["errors"]["data"][0]["line"]) == ("failed", 2)


def test_every_bad_line_is_named_across_chunks(client: Client) -> None:
    lines: list[Any] = [line(number) for number in range(1, 1201)]
    for bad in (7, 600, 1150):
        lines[bad - 1] = b"broken\n"
    lines[1199] = line(1200, custom_id="r-3")
    batch = client.run(lines)
    assert [error["line"] for error in batch["errors"]["data"]] == [7, 600, 1150, 1200]


def test_an_unknown_file_is_accepted_and_fails_later(client: Client) -> None:
    accepted = client.create("file-unknown")
    assert accepted.status_code == 200
    error = client.wait(accepted.json()["id"])["errors"]["data"][0]
    assert (error["code"], error["line"], error["param"]) == ("invalid_request", None, "file_id")
    assert error["message"].startswith("Cannot find file file-unknown, or organization")


def test_a_key_sees_only_what_is_its_own(plain: ServerProcess, client: Client) -> None:
    batch = client.run([line(1)])
    with Client(plain, key="sk-somebody-else") as other:
        for path in (
            f"/files/{batch['input_file_id']}",
            f"/files/{batch['output_file_id']}/content",
            f"/batches/{batch['id']}",
        ):
            assert client.http.get(path).status_code == 200
            assert other.http.get(path).status_code == 404
        assert other.http.post(f"/batches/{batch['id']}/cancel").status_code == 404
        assert other.http.get("/batches").json()["data"] == []
        foreign = other.wait(other.create(batch["input_file_id"]).json()["id"])
        assert foreign["errors"]["data"][0]["code"] == "invalid_request"


def test_strangers_and_other_hosts_stay_outside(plain: ServerProcess, client: Client) -> None:
    assert httpx2.get(f"{plain.base_url}/batches").status_code == 401
    assert client.http.get("/batches", headers={"host": "evil.example:80"}).status_code == 403
    assert client.http.get("/batches", headers={"host": f"localhost:{plain.port}"}).status_code == 200
    assert client.http.get("/batches", headers={"host": f"[::1]:{plain.port}"}).status_code == 200
    for path in ("/nowhere", "/../docs", "/../redoc"):
        refused = client.http.get(path)
        assert refused.status_code == 404
        assert "Unknown request URL" in refused.json()["error"]["message"]


def test_other_machines_come_in_with_a_key_only(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "store", token=ServerProcess.new_token(), extra=("--host", EVERYBODY))
    with server, Client(server) as client, Client(server, key="another") as stranger:
        assert client.http.get("/batches", headers={"host": "lab.example:80"}).status_code == 200
        assert stranger.http.get("/batches").status_code == 401


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store", token=ServerProcess.new_token()) as server:
        assert (server.info.stat().st_mode & 0o777) == 0o600
        told = server.info.read_text()
        assert server.token is not None
        assert server.token in told
        with Client(server, key="sk-local-wrong") as wrong:
            refused = wrong.http.get("/batches")
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
            assert wrong.http.get(f"http://127.0.0.1:{server.port}/admin/audit").status_code == 401
        with Client(server) as right:
            assert right.run([line(1)])["status"] == "completed"
        health = server.request("GET", "/admin/health")
        assert server.process is not None
        assert (health["status"], health["pid"], health["responder"]) == ("ok", server.process.pid, "simulate")
        assert server.request("POST", "/admin/shutdown") == {"status": "stopping"}
        assert server.process.wait(5) == 0
        assert not server.info.exists()


def test_the_audit_counts_rows_and_calls(plain: ServerProcess, client: Client) -> None:
    before = plain.audit(detail=True)
    lines = [line(number, text="the same") for number in (1, 2, 3)]
    for _ in range(2):
        client.run(lines)
    audit = plain.audit(detail=True)
    assert audit["executions"]["rows"] - before["executions"]["rows"] == 6
    assert audit["billed"]["requests"] == audit["executions"]["rows"]
    grown = {
        name: count - before["executions"]["by_custom_id"]["all"].get(name, 0)
        for name, count in audit["executions"]["by_custom_id"]["all"].items()
        if name in {"r-1", "r-2", "r-3"}
    }
    assert grown == {"r-1": 2, "r-2": 2, "r-3": 2}
    assert 6 in audit["executions"]["by_body"]["more_than_once"].values()
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in audit["executions"]["by_body"]["more_than_once"])
    assert audit["calls"]["POST /v1/batches"] - before["calls"].get("POST /v1/batches", 0) == 2
    assert audit["batches"][-1]["rows_executed"] == 3


def test_a_server_that_accepts_doubled_ids_answers_both(tmp_path: Path) -> None:
    rules = [{"fault": "duplicates_accepted", "nth": [1]}]
    with ServerProcess(tmp_path / "store", faults=rules) as server, Client(server) as client:
        lines = [line(1), line(2, custom_id="r-1"), line(3)]
        ended = client.wait(client.start(lines)["id"])
        assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 3)
        assert sorted(row["custom_id"] for row in client.results(ended["output_file_id"])) == ["r-1", "r-1", "r-3"]
        assert server.audit()["executions"]["by_custom_id"]["max"] == 2
        assert client.wait(client.start(lines)["id"])["status"] == "failed"
