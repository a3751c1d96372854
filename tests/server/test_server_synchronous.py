"""The endpoints that answer at once, asked by the official client as it comes."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from batchflow.server.model_names import answering
from tests.server.client import Client, line
from tests.server_process import ServerProcess

_MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a nurse from Ulm."},
    {"role": "user", "content": "Do you prefer 'tea' or 'coffee'?"},
]


class Choice(BaseModel):
    choice: str
    reason: str
    rating: int


@pytest.fixture
def sdk(plain: ServerProcess, request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=plain.base_url, api_key=f"sk-{request.node.name}", max_retries=0) as opened:
        yield opened


def test_a_chat_completion(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="gpt-4o", messages=_MESSAGES, n=2, seed=1)
    assert answer.object == "chat.completion"
    assert (answer.model, answer.system_fingerprint) == (answering("gpt-4o"), "fp_simulated")
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "stop"]
    assert str(answer.choices[0].message.content).startswith("As a nurse from Ulm, I find the '")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_parsed_answers(sdk: openai.OpenAI) -> None:
    chat = sdk.chat.completions.parse(model="gpt-4o", messages=_MESSAGES, response_format=Choice)
    assert isinstance(chat.choices[0].message.parsed, Choice)
    response = sdk.responses.parse(model="gpt-5", input="Do you prefer 'tea' or 'coffee'?", text_format=Choice)
    assert isinstance(response.output_parsed, Choice)


def test_a_response(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="gpt-5", instructions="You are a nurse from Ulm.", input="Do you like tea?")
    assert (answer.status, answer.model) == ("completed", answering("gpt-5"))
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output_text.startswith("As a nurse from Ulm, ")
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    cut = sdk.responses.create(model="gpt-5", input="Do you like tea?", max_output_tokens=16)
    assert (cut.status, cut.output_text) == ("incomplete", "")


def test_embeddings_as_the_client_asks_for_them(sdk: openai.OpenAI) -> None:
    texts = ["tea", "coffee"]
    packed = sdk.embeddings.create(model="text-embedding-3-small", input=texts)  # the client asks for base64
    plain = sdk.embeddings.create(model="text-embedding-3-small", input=texts, encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert len(one.embedding) == 1536
    assert len(sdk.embeddings.create(model="m", input="tea", dimensions=256).data[0].embedding) == 256


def test_models(sdk: openai.OpenAI) -> None:
    assert "gpt-4o" in {model.id for model in sdk.models.list()}
    model = sdk.models.retrieve("ft:gpt-4o:any:name")
    assert (model.id, model.object, model.owned_by) == ("ft:gpt-4o:any:name", "model", "simulated")


def test_the_asynchronous_client(plain: ServerProcess) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=plain.base_url, api_key="sk-async", max_retries=0) as client:
            asked = [
                client.chat.completions.create(model="gpt-4o", messages=_MESSAGES, user="async") for _ in range(20)
            ]
            answers = [str(answer.choices[0].message.content) for answer in await asyncio.gather(*asked)]
            response = await client.responses.create(model="gpt-5", input="Hello?")
            vectors = await client.embeddings.create(model="m", input="Hello?")
            models = await client.models.list()
            assert response.output_text
            assert vectors.data[0].index == 0
            assert models.data
            return answers

    assert len(set(asyncio.run(ask()))) > 10, "equal requests are draws, and draws differ"


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/chat/completions", {"model": "m", "messages": _MESSAGES, "stream": True}, "unsupported_value", "stream"),
        ("/responses", {"model": "m", "input": "?", "stream": True}, "unsupported_value", "stream"),
        ("/chat/completions", {"model": "m"}, "missing_required_parameter", "messages"),
        ("/responses", {"model": "m"}, "missing_required_parameter", "input"),
        ("/embeddings", {"input": "?"}, "missing_required_parameter", "model"),
        ("/embeddings", {"model": 1, "input": "?"}, "invalid_type", "model"),
        ("/embeddings", {"model": "m", "input": []}, "invalid_type", "input"),
        ("/chat/completions", {"model": "m", "messages": []}, "invalid_type", "messages"),
        ("/chat/completions", [1], "invalid_type", "body"),
    ],
)
def test_calls_that_are_refused(client: Client, path: str, body: Any, code: str, param: str) -> None:
    refused = client.http.post(path, json=body)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")


def test_a_body_that_is_no_json_is_refused(client: Client) -> None:
    for content in (b"", b"{torn", b"\xff", b"[" * 100_000):
        refused = client.http.post("/chat/completions", content=content)
        assert refused.status_code == 400
        assert "could not parse the JSON body" in refused.json()["error"]["message"]


def test_what_is_asked_at_once_is_counted_apart_and_outlives_the_server(tmp_path: Path) -> None:
    body = {"model": "gpt-4o", "messages": _MESSAGES}
    with ServerProcess(tmp_path / "store") as server:
        with Client(server) as client:
            client.run([line(1)])
            first = [client.http.post("/chat/completions", json=body).json() for _ in range(2)]
            assert client.http.post("/chat/completions", json={**body, "messages": []}).status_code == 400
        server.kill9()
        server.start()
        with Client(server) as client:
            third = client.http.post("/chat/completions", json=body).json()
        audit = server.audit()
    assert len({one["id"] for one in (*first, third)}) == 3, "the third call is the third draw, after a restart too"
    assert audit["executions"]["rows"] == audit["billed"]["requests"] == 1
    assert audit["synchronous"]["billed"] == 3
    assert audit["synchronous"]["by_endpoint"] == {"/v1/chat/completions": 3}
    assert list(audit["synchronous"]["by_body"]["more_than_once"].values()) == [3]
    assert audit["calls"]["POST /v1/chat/completions"] == 4


def test_the_same_calls_get_the_same_answers_from_another_server(tmp_path: Path) -> None:
    said = []
    for name in ("one", "two"):
        with ServerProcess(tmp_path / name) as server, Client(server) as client:
            answers = [client.http.post("/responses", json={"model": "m", "input": "Hm?"}).json() for _ in range(3)]
            said.append([json.dumps(answer["output"]) for answer in answers])
    assert said[0] == said[1]
    assert len(set(said[0])) == 3


def test_faults_strike_these_calls_too(tmp_path: Path) -> None:
    rule = {"fault": "http_error", "on": "chat.completions.create", "nth": 1, "status": 429, "retry_after": 0.01}
    with ServerProcess(tmp_path / "store", faults=[rule]) as server, Client(server) as client:
        body = {"model": "gpt-4o", "messages": _MESSAGES}
        statuses = [client.http.post("/chat/completions", json=body).status_code for _ in range(2)]
        assert statuses == [429, 200]
        assert server.audit()["synchronous"]["billed"] == 1


def test_a_replaying_server_answers_at_once_too(tmp_path: Path) -> None:
    asked = {"custom_id": "a", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user"}]}}
    answered = {"custom_id": "a", "response": {"status_code": 200, "body": {"id": "recorded"}}}
    (tmp_path / "q.jsonl").write_text(json.dumps(asked, separators=(",", ":")))
    (tmp_path / "a.jsonl").write_text(json.dumps(answered))
    extra = ["--responder", "replay", "--replay", f"{tmp_path}/q.jsonl={tmp_path}/a.jsonl"]
    with ServerProcess(tmp_path / "store", extra=extra) as server, Client(server) as client:
        content = json.dumps(asked["body"], separators=(",", ":")).encode()
        known, again, unknown = (
            client.http.post("/chat/completions", content=one)
            for one in (content, content, b'{"model":"m","messages":[1]}')
        )
        assert known.json() == {"id": "recorded"}
        assert (again.status_code, unknown.status_code) == (404, 404)
        assert server.audit()["synchronous"]["billed"] == 1
