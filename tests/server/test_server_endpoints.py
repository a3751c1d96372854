"""Batches of each endpoint, and what the bodies of their answers look like."""

import base64
import json
import math
import struct
from typing import Any

import jsonschema
import pytest

from batchflow.server.model_names import answering
from batchflow.server.responder import COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES, Ask
from batchflow.server.simulator import Simulator
from tests.server.client import Client, line

_SCHEMA = {
    "type": "object",
    "properties": {"choice": {"type": "string", "enum": ["tea", "coffee"]}, "reason": {"type": "string"}},
    "required": ["choice", "reason"],
    "additionalProperties": False,
}


def _ask(
    endpoint: str, body: dict[str, Any], *, draw: int = 1, outcome: str = "", rates: tuple[float, float] = (0, 0)
) -> Any:
    body = {"model": "m", **body}
    return Simulator(0, refusals=rates[0], truncations=rates[1]).reply(
        Ask(body, json.dumps(body).encode(), draw, outcome, endpoint=endpoint), 9
    )


def _response(draw: int = 1, outcome: str = "", **body: Any) -> dict[str, Any]:
    reply = _ask(RESPONSES, {"input": "Do you like 'tea' or 'coffee'?", **body}, draw=draw, outcome=outcome)
    assert reply.status == 200, reply.body
    return dict(reply.body)


def test_a_batch_of_responses(client: Client) -> None:
    bodies = [
        {"model": "gpt-5", "instructions": "You are a nurse.", "input": f"Do you like 'tea' or 'coffee'? {number}"}
        for number in range(3)
    ]
    lines = [line(number, url="/v1/responses", body=body) for number, body in enumerate(bodies)]
    batch = client.run(lines, endpoint="/v1/responses")
    assert (batch["status"], batch["endpoint"]) == ("completed", "/v1/responses")
    results = client.results(batch["output_file_id"])
    assert {one["custom_id"] for one in results} == {"r-0", "r-1", "r-2"}
    spent = 0
    for one in results:
        body = one["response"]["body"]
        assert (body["object"], body["status"], body["model"]) == ("response", "completed", answering("gpt-5"))
        assert body["system_fingerprint"] == "fp_simulated"
        assert body["instructions"] == "You are a nurse."
        assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
        assert body["output"][1]["phase"] == "final_answer"
        part = body["output"][1]["content"][0]
        assert part["type"] == "output_text"
        assert part["text"].startswith("As a nurse, I find the '")
        assert "output_text" not in body
        assert body["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
        spent += body["usage"]["total_tokens"]
    assert batch["usage"]["total_tokens"] == spent


def test_a_response_cut_refused_filtered_or_all_thought() -> None:
    refused = _response(outcome="refusal")
    assert refused["status"] == "completed"
    assert refused["output"][1]["content"][0]["type"] == "refusal"
    filtered = _response(outcome="filtered")
    assert (filtered["status"], filtered["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    cut = _response(outcome="truncated")
    assert cut["incomplete_details"] == {"reason": "max_output_tokens"}
    assert (cut["output"][1]["status"], cut["completed_at"]) == ("incomplete", None)
    thought = _response(max_output_tokens=16)
    assert [item["type"] for item in thought["output"]] == ["reasoning"]
    assert thought["status"] == "incomplete"
    assert thought["usage"]["output_tokens"] == 16
    plain = _response(max_output_tokens=10, reasoning={"effort": "none"})
    assert [item["type"] for item in plain["output"]] == ["message"]
    assert plain["usage"]["output_tokens"] <= 10
    failed = _response(outcome="failed")
    assert (failed["status"], failed["error"]["code"], failed["completed_at"]) == ("failed", "server_error", None)
    assert [item["type"] for item in _response(outcome="no_content")["output"]] == ["reasoning"]
    assert _response(outcome="not_json")["output"][1]["content"][0]["text"].startswith("{")
    commented = [item for item in _response(outcome="commentary")["output"] if item["type"] == "message"]
    assert [item["phase"] for item in commented] == ["commentary", "final_answer"]
    assert commented[0]["id"] != commented[1]["id"]
    assert _response(store=False)["output"][0]["encrypted_content"]


def test_structured_answers_of_responses_and_chat() -> None:
    wanted = {"format": {"type": "json_schema", "name": "choice", "strict": True, "schema": _SCHEMA}}
    answers = [json.loads(_response(draw, text=wanted)["output"][1]["content"][0]["text"]) for draw in range(1, 20)]
    for answer in answers:
        jsonschema.validate(answer, _SCHEMA)
        assert f"'{answer['choice']}'" in answer["reason"]
    assert {answer["choice"] for answer in answers} == {"tea", "coffee"}
    assert _response(text=wanted)["text"]["format"] == wanted["format"]


@pytest.mark.parametrize(
    ("wanted", "param", "code"),
    [
        ({"type": "xml"}, "response_format.type", "invalid_value"),
        ({"type": "json_schema"}, "response_format.json_schema", "missing_required_parameter"),
        (
            {"type": "json_schema", "json_schema": {"schema": {}}},
            "response_format.json_schema.name",
            "missing_required_parameter",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}},
            "response_format.json_schema.name",
            "invalid_value",
        ),
        ({"type": "json_object"}, "response_format", None),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "never"}}},
            "response_format",
            "invalid_json_schema",
        ),
    ],
)
def test_structures_that_are_refused(wanted: Any, param: str, code: str | None) -> None:
    reply = _ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}], "response_format": wanted})
    assert (reply.status, reply.body["error"]["param"], reply.body["error"]["code"]) == (400, param, code)
    assert reply.completion_tokens == 0


def _closed(**changes: Any) -> dict[str, Any]:
    return {**_SCHEMA, **changes}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (_closed(additionalProperties=True), "In context=(), 'additionalProperties' is required to be supplied"),
        (_closed(required=["choice"]), "including every key in properties. Missing 'reason'."),
        ({"type": "array", "items": _SCHEMA}, "of 'type: \"object\"', got 'type: \"array\"'."),
        (
            _closed(
                properties={"choice": {"type": "string"}, "reason": {"type": "array", "items": {"type": "object"}}}
            ),
            "In context=('properties', 'reason', 'items'), 'additionalProperties'",
        ),
        (_closed(oneOf=[{}]), "'oneOf' is not permitted"),
    ],
)
def test_a_strict_schema_is_held_to_its_rules(schema: dict[str, Any], said: str) -> None:
    for strict, status in ((True, 400), (False, 200)):
        told = {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": strict}}
        reply = _ask(RESPONSES, {"input": "?", "text": told})
        assert reply.status == status
        if strict:
            assert reply.body["error"]["message"].startswith("Invalid schema for response_format 'n': ")
            assert said in reply.body["error"]["message"]
            assert reply.body["error"]["param"] == "text.format.schema"


def test_any_json_object() -> None:
    body = {"messages": [{"role": "user", "content": "Answer in JSON."}], "response_format": {"type": "json_object"}}
    reply = _ask("/v1/chat/completions", body)
    answer = json.loads(reply.body["choices"][0]["message"]["content"])
    assert set(answer) == {"answer", "explanation"}


def test_a_schema_that_cannot_be_met_fails_its_row_only(client: Client) -> None:
    def asked(number: int, schema: Any) -> dict[str, Any]:
        body = {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "?"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        }
        return line(number, body=body)

    batch = client.run([asked(1, _SCHEMA), asked(2, {"type": "integer", "minimum": 2, "maximum": 1})])
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    error = client.results(batch["error_file_id"])[0]["response"]
    assert error["status_code"] == 400
    assert "Invalid schema for response_format 'n'" in error["body"]["error"]["message"]


def _vectors(given: Any, **body: Any) -> list[Any]:
    reply = _ask(EMBEDDINGS, {"input": given, **body})
    assert reply.status == 200, reply.body
    return [one["embedding"] for one in reply.body["data"]]


def test_a_batch_of_embeddings(client: Client) -> None:
    body = {"model": "text-embedding-3-small", "input": ["tea", "coffee"], "dimensions": 8}
    batch = client.run([line(1, url="/v1/embeddings", body=body)], endpoint="/v1/embeddings")
    answer = client.results(batch["output_file_id"])[0]["response"]["body"]
    assert [one["index"] for one in answer["data"]] == [0, 1]
    assert [len(one["embedding"]) for one in answer["data"]] == [8, 8]
    assert answer["model"] == "simulated/text-embedding-3-small"
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == batch["usage"]["total_tokens"]


def test_vectors_have_length_one_and_their_meaning() -> None:
    tea, same, near, far = _vectors(["a cup of tea", "a cup of tea", "a cup of coffee", "Kellogg School"])
    assert len(tea) == 1536
    assert tea == same == _vectors("a cup of tea")[0]
    assert math.isclose(sum(value * value for value in tea), 1.0, abs_tol=1e-5)
    nearness = [sum(one * other for one, other in zip(tea, vector, strict=True)) for vector in (near, far)]
    assert nearness[0] > 0.4 > nearness[1]
    packed = base64.b64decode(_vectors("a cup of tea", encoding_format="base64")[0])
    assert struct.unpack("<1536f", packed) == pytest.approx(tea, abs=1e-6)
    assert len(_vectors([[1, 2], [3]], model="text-embedding-3-large")[1]) == 3072
    assert len(_vectors([1, 2, 3])) == 1


@pytest.mark.parametrize("body", [{"input": ""}, {"input": []}, {"input": [""]}, {"input": "a", "dimensions": 0}])
def test_embeddings_that_are_refused(body: dict[str, Any]) -> None:
    assert _ask(EMBEDDINGS, body).status == 400


def test_a_batch_of_moderations(client: Client) -> None:
    body = {"model": "omni-moderation-latest", "input": ["I like tea", "I will kill you"]}
    batch = client.run([line(1, url="/v1/moderations", body=body)], endpoint="/v1/moderations")
    answer = client.results(batch["output_file_id"])[0]["response"]["body"]
    assert [verdict["flagged"] for verdict in answer["results"]] == [False, True]
    mild, harsh = (verdict["category_scores"] for verdict in answer["results"])
    assert mild["violence"] < 0.1
    assert harsh["violence"] >= 0.5
    assert answer["model"] == "simulated/omni-moderation-latest"


def test_a_batch_of_completions(client: Client) -> None:
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": "Do you like 'tea' or 'coffee'?", "max_tokens": 200}
    batch = client.run([line(1, url="/v1/completions", body=body)], endpoint="/v1/completions")
    answer = client.results(batch["output_file_id"])[0]["response"]["body"]
    (choice,) = answer["choices"]
    assert (answer["object"], choice["finish_reason"]) == ("text_completion", "stop")
    assert "tea" in choice["text"] or "coffee" in choice["text"]
    short = _ask(COMPLETIONS, {"prompt": "Do you like 'tea' or 'coffee'?"}).body["choices"][0]
    assert short["finish_reason"] == "length"
    assert choice["text"].startswith(short["text"][:10])


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (MODERATIONS, {"input": []}),
        (MODERATIONS, {"input": ["a", {}]}),
        (MODERATIONS, {"input": 7}),
        (COMPLETIONS, {"prompt": ""}),
        (COMPLETIONS, {"prompt": ["a", "b"]}),
        (COMPLETIONS, {"prompt": [1, 2]}),
    ],
)
def test_moderations_and_completions_that_are_refused(endpoint: str, body: dict[str, Any]) -> None:
    assert _ask(endpoint, body).status == 400


def test_refusals_and_truncations_come_at_their_rates() -> None:
    body = {"messages": [{"role": "user", "content": "Do you like tea?"}]}
    rates = (0.2, 0.1)
    kinds = {"refused": 0, "length": 0, "stop": 0}
    for draw in range(1, 1001):
        reply = _ask("/v1/chat/completions", body, draw=draw, rates=rates)
        assert reply == _ask("/v1/chat/completions", body, draw=draw, rates=rates)
        choice = reply.body["choices"][0]
        kinds["refused" if choice["message"]["refusal"] else choice["finish_reason"]] += 1
        if choice["finish_reason"] == "stop" and not choice["message"]["refusal"]:
            assert reply == _ask("/v1/chat/completions", body, draw=draw), "other answers stay as they are"
    assert 150 < kinds["refused"] < 250
    assert 65 < kinds["length"] < 140
