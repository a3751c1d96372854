"""What a client of the real API does, through the real SDK."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from batchflow.server.model_names import answering
from tests.server.client import ENDED, Client, file_of, line
from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
def sdk(plain: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=plain.base_url, api_key="sk-sdk", max_retries=0) as client:
        yield client


def _wait(sdk: openai.OpenAI, batch_id: str) -> openai.types.Batch:
    until = time.monotonic() + 20
    while (batch := sdk.batches.retrieve(batch_id)).status not in ENDED:
        assert time.monotonic() < until
        time.sleep(0.02)
    return batch


def test_the_sdk_uploads_and_deletes(sdk: openai.OpenAI, tmp_path: Path) -> None:
    source = tmp_path / "study.jsonl"
    source.write_bytes(file_of([line(1)]))
    with source.open("rb") as handle:
        uploaded = sdk.files.create(
            file=handle, purpose="batch", expires_after={"anchor": "created_at", "seconds": 7200}
        )
    assert re.fullmatch(r"file-[A-Za-z0-9]{22}", uploaded.id)
    assert (uploaded.bytes, uploaded.filename, uploaded.purpose) == (source.stat().st_size, "study.jsonl", "batch")
    assert uploaded.expires_at == uploaded.created_at + 7200
    assert sdk.files.content(uploaded.id).read() == source.read_bytes()
    assert uploaded.id in {listed.id for listed in sdk.files.list(purpose="batch")}
    assert sdk.files.delete(uploaded.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(uploaded.id)


def test_the_sdk_carries_a_batch_through(sdk: openai.OpenAI) -> None:
    lines = file_of([line(number) for number in range(1, 41)])
    uploaded = sdk.files.create(file=("in.jsonl", lines), purpose="batch")
    batch = sdk.batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"batchflow_intent": "i-1"},
    )
    assert re.fullmatch(r"batch_[0-9a-f]{32}", batch.id)
    assert int(batch.id[6:14], 16) == batch.created_at
    assert batch.status == "validating"
    assert batch.request_counts is not None
    assert batch.request_counts.total == 0
    batch = _wait(sdk, batch.id)
    assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
    assert batch.metadata == {"batchflow_intent": "i-1"}
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed) == (40, 40)
    assert batch.expires_at == batch.created_at + 86_400
    assert all((batch.in_progress_at, batch.finalizing_at, batch.completed_at))
    assert batch.id in {listed.id for listed in sdk.batches.list()}

    assert batch.output_file_id is not None
    meta = sdk.files.retrieve(batch.output_file_id)
    content = sdk.files.content(batch.output_file_id)
    assert meta.bytes == int(content.response.headers["content-length"]) == len(content.content)
    assert (meta.purpose, meta.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    rows = [json.loads(one) for one in content.content.split(b"\n") if one]
    asked = [f"r-{number}" for number in range(1, 41)]
    assert sorted(row["custom_id"] for row in rows) == sorted(asked)
    assert [row["custom_id"] for row in rows] != asked, "the order is arbitrary"
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(row["response"]["body"]["usage"]["total_tokens"] for row in rows)
    answer = rows[0]["response"]
    assert (answer["status_code"], rows[0]["error"]) == (200, None)
    assert (answer["body"]["model"], answer["body"]["system_fingerprint"]) == (answering("gpt-4o"), "fp_simulated")
    assert answer["body"]["choices"][0]["finish_reason"] == "stop"


def test_lists_are_newest_first_in_pages(client: Client) -> None:
    file_id = client.upload([line(1)]).json()["id"]
    made = [client.create(file_id).json()["id"] for _ in range(5)]
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        listed = client.http.get("/batches", params={"limit": 2, **after}).json()
        seen += [batch["id"] for batch in listed["data"]]
        assert (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][-1]["id"])
        if not listed["has_more"]:
            break
        after = {"after": listed["last_id"]}
    assert seen == made[::-1]


def test_equal_prompts_get_answers_of_their_own_that_repeat_elsewhere(client: Client) -> None:
    lines = [line(number, text="Which do you like, 'tea' or 'coffee'?") for number in range(1, 21)]
    answers = []
    for _ in range(2):
        batch = client.run(lines)
        rows = client.results(batch["output_file_id"])
        answers.append({row["custom_id"]: row["response"]["body"]["choices"][0]["message"]["content"] for row in rows})
    assert answers[0] == answers[1]
    assert len(set(answers[0].values())) > 10


def test_cancelling_before_the_end_gives_both_files(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store", rows_per_second=60) as server, Client(server) as client:
        batch = client.start([line(number) for number in range(1, 201)])
        while client.batch(batch["id"])["request_counts"]["completed"] < 10:
            time.sleep(0.02)
        cancelling = client.http.post(f"/batches/{batch['id']}/cancel")
        assert cancelling.status_code == 200
        assert cancelling.json()["status"] == "cancelling"
        assert (cancelling.json()["output_file_id"], cancelling.json()["error_file_id"]) == (None, None)
        ended = client.wait(batch["id"])
        assert ended["status"] == "cancelled"
        done = client.results(ended["output_file_id"])
        left = client.results(ended["error_file_id"])
        assert len(done) == ended["request_counts"]["completed"] == server.audit()["billed"]["requests"]
        assert ended["request_counts"]["failed"] == 0
        assert len(done) + len(left) == 200
        assert {row["error"]["code"] for row in left} == {"batch_cancelled"}
        assert client.http.post(f"/batches/{batch['id']}/cancel").json()["status"] == "cancelled"


def test_a_batch_that_ended_cannot_be_cancelled(client: Client) -> None:
    batch = client.run([line(1)])
    refused = client.http.post(f"/batches/{batch['id']}/cancel")
    assert refused.status_code == 409
    assert refused.json()["error"] == {
        "message": "Cannot cancel a batch with status 'completed'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
