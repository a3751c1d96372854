"""What the endpoints beside chat completions answer, in every shape that was seen (batch-api.md 9, trap 17)."""

import json
from base64 import b64encode
from math import inf
from struct import pack
from typing import Any

import pytest

from batchflow.results.lines import parse
from batchflow.results.outcome import Answer, Outcome
from batchflow.spec.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    ENDPOINTS,
    IMAGE_EDITS,
    IMAGES,
    MODERATIONS,
    RESPONSES,
    VIDEOS,
)

KNOWN, UNKNOWN = True, False


def read(endpoint: str, body: Any, status: int = 200, error: Any = None) -> Answer:
    line = {"custom_id": "r-1", "response": {"status_code": status, "body": body}, "error": error}
    answer = parse(json.dumps(line).encode(), endpoint)
    assert answer is not None
    return answer


REASONING = {"id": "rs_1", "type": "reasoning", "content": [], "summary": [], "encrypted_content": "abc"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"}
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 9},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}


def text(words: Any, **members: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": [], **members}


def message(*parts: Any, phase: Any = "final_answer", **members: Any) -> dict[str, Any]:
    told = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": list(parts)}
    return {**told, **({} if phase is None else {"phase": phase}), **members}


def response(*output: Any, status: Any = "completed", **members: Any) -> dict[str, Any]:
    body = {"id": "resp_1", "object": "response", "status": status, "error": None, "incomplete_details": None}
    return {**body, "model": "gpt-5.4-mini-2026-03-17", "output": list(output), "usage": USAGE, **members}


def cut(reason: Any, *output: Any) -> dict[str, Any]:
    return response(*output, status="incomplete", incomplete_details={"reason": reason})


SHAPES: list[tuple[str, Any, Outcome, str | None]] = [
    ("answered", response(REASONING, message(text("tea"))), Outcome.ANSWERED, "tea"),
    ("message first", response(message(text("tea")), REASONING), Outcome.ANSWERED, "tea"),
    ("no reasoning", response(message(text("tea"))), Outcome.ANSWERED, "tea"),
    ("no phase", response(REASONING, message(text("tea"), phase=None)), Outcome.ANSWERED, "tea"),
    ("in parts", response(message(text("te"), text("a"))), Outcome.ANSWERED, "tea"),
    ("two messages", response(message(text("te")), REASONING, message(text("a"))), Outcome.ANSWERED, "tea"),
    ("search before it", response({"type": "web_search_call"}, message(text("tea"))), Outcome.ANSWERED, "tea"),
    ("comment", response(message(text("hm"), phase="commentary"), message(text("tea"))), Outcome.ANSWERED, "tea"),
    ("comment after", response(message(text("tea")), message(text("hm"), phase="commentary")), Outcome.ANSWERED, "tea"),
    ("no phase beside one", response(message(text("hm"), phase=None), message(text("tea"))), Outcome.ANSWERED, "tea"),
    ("comment alone", response(message(text("hm"), phase="commentary")), Outcome.EMPTY, None),
    ("unknown phase alone", response(message(text("hm"), phase="draft")), Outcome.EMPTY, None),
    ("content as text", response({"type": "message", "content": "tea"}), Outcome.ANSWERED, "tea"),
    ("refused", response(message({"type": "refusal", "refusal": "no"})), Outcome.REFUSED, None),
    ("refused after a word", response(message(text("t"), {"type": "refusal", "refusal": "no"})), Outcome.REFUSED, "t"),
    ("cut", cut("max_output_tokens", REASONING, message(text("te"))), Outcome.TRUNCATED, "te"),
    ("cut in thought", cut("max_output_tokens", REASONING), Outcome.TRUNCATED, None),
    ("cut, nothing there", cut("max_output_tokens"), Outcome.TRUNCATED, None),
    ("cut for another reason", cut("because", message(text("te"))), Outcome.TRUNCATED, "te"),
    ("cut without a reason", response(message(text("te")), status="incomplete"), Outcome.TRUNCATED, "te"),
    ("filtered", cut("content_filter", message(text("te"))), Outcome.FILTERED, "te"),
    ("filtered at once", cut("content_filter"), Outcome.FILTERED, None),
    ("calls", response(REASONING, CALL), Outcome.ANSWERED, json.dumps([CALL], separators=(",", ":"))),
    ("words and calls", response(message(text("tea")), CALL), Outcome.ANSWERED, "tea"),
    ("comment and calls", response(message(text("hm"), phase="commentary"), CALL), Outcome.ANSWERED, None),
    ("nothing", response(), Outcome.EMPTY, None),
    ("reasoning alone", response(REASONING), Outcome.EMPTY, None),
    ("empty text", response(message(text(""))), Outcome.EMPTY, None),
    ("no text", response(message(text(None))), Outcome.EMPTY, None),
    ("no parts", response(message()), Outcome.EMPTY, None),
    ("odd parts", response(message(None, 7, "x", {"type": "output_image"})), Outcome.EMPTY, None),
    ("odd items", response(None, 7, "x", {}, message(text("tea"))), Outcome.ANSWERED, "tea"),
    ("output null", {**response(), "output": None}, Outcome.EMPTY, None),
    ("output is text", {**response(), "output": "tea"}, Outcome.EMPTY, None),
    ("no status", response(message(text("tea")), status=None), Outcome.ANSWERED, "tea"),
    ("odd details", response(message(text("tea")), incomplete_details=[]), Outcome.ANSWERED, "tea"),
    ("failed without an error", response(message(text("te")), status="failed"), Outcome.ERROR, None),
    ("cancelled", response(status="cancelled"), Outcome.ERROR, None),
]


@pytest.mark.parametrize("known", [KNOWN, UNKNOWN])
@pytest.mark.parametrize(("body", "outcome", "content"), [pytest.param(*rest, id=name) for name, *rest in SHAPES])
def test_shapes_of_responses(body: Any, outcome: Outcome, content: str | None, *, known: bool) -> None:
    answer = read(RESPONSES if known else "", body)
    assert (answer.outcome, answer.owed) == (outcome, False)
    if content is not None or outcome is not Outcome.ANSWERED:
        assert answer.content == content


def test_the_parts_of_a_response() -> None:
    body = response(REASONING, message(text("tea")), system_fingerprint="fp")
    answer = read(RESPONSES, body)
    assert answer == Answer(
        "r-1",
        Outcome.ANSWERED,
        http_status=200,
        content="tea",
        finish_reason="completed",
        model_answered="gpt-5.4-mini-2026-03-17",
        system_fingerprint="fp",
        prompt_tokens=11,
        cached_tokens=3,
        written_tokens=9,
        completion_tokens=7,
        reasoning_tokens=2,
        total_tokens=18,
        parsed=answer.parsed,
    )
    assert json.loads(answer.body or "") == body
    assert read(RESPONSES, cut("max_output_tokens")).finish_reason == "max_output_tokens"
    assert read(RESPONSES, response(message({"type": "refusal", "refusal": "no"}))).refusal == "no"


@pytest.mark.parametrize(
    ("code", "owed"),
    [
        ("server_error", True),
        ("rate_limit_exceeded", True),
        ("vector_store_timeout", True),
        ("invalid_prompt", False),
        ("image_content_policy_violation", False),
        (None, False),
    ],
)
def test_a_failure_inside_a_200(code: str | None, *, owed: bool) -> None:
    body = response(message(text("te")), status="failed", error={"code": code, "message": "it said so"})
    answer = read(RESPONSES, body)
    assert (answer.outcome, answer.owed, answer.error_code) == (Outcome.ERROR, owed, code)
    assert (answer.error_message, answer.content, answer.http_status) == ("it said so", None, 200)


def test_a_failure_without_words_has_some() -> None:
    answer = read(RESPONSES, response(status="failed"))
    assert (answer.error_code, answer.finish_reason) == ("failed", "failed")
    assert answer.error_message


def test_half_a_character_stays_readable() -> None:
    assert read(RESPONSES, response(message(text("a\ud83d!")))).content == "a\\ud83d!"


def vectors(*each: Any, **members: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(each)]
    return {"object": "list", "data": data, "model": "m-1", "usage": {"prompt_tokens": 5, "total_tokens": 5}, **members}


@pytest.mark.parametrize("known", [KNOWN, UNKNOWN])
def test_one_vector(*, known: bool) -> None:
    answer = read(EMBEDDINGS if known else "", vectors([0.25, -1, 1e-7]))
    assert (answer.outcome, answer.content, answer.dimensions) == (Outcome.ANSWERED, "[0.25,-1,1e-07]", 3)
    assert (answer.model_answered, answer.prompt_tokens, answer.completion_tokens) == ("m-1", 5, None)


def test_a_vector_as_base64() -> None:
    packed = b64encode(pack("<3f", 0.25, -1, 0.5)).decode()
    answer = read(EMBEDDINGS, vectors(packed))
    assert (answer.content, answer.dimensions) == ("[0.25,-1.0,0.5]", 3)


def test_several_vectors_stand_in_the_order_of_the_input() -> None:
    body = vectors([1.0], [2.0], [3.0])
    body["data"] = [body["data"][2], body["data"][0], body["data"][1]]
    answer = read(EMBEDDINGS, body)
    assert (answer.content, answer.dimensions) == ("[[1.0],[2.0],[3.0]]", None)


@pytest.mark.parametrize(
    "body",
    [
        vectors(),
        vectors([]),
        vectors(None),
        vectors("no base64!"),
        vectors(b64encode(b"abc").decode()),
        vectors(b64encode(pack("<f", inf)).decode()),
        vectors([0.5, "1"]),
        vectors([0.5, True]),
        vectors([10**400]),
        vectors([1e39]),
        vectors([-1e39, 0]),
        vectors([0.5], None),
        {"data": None},
        {"data": [None]},
        {},
    ],
)
def test_no_vector(body: Any) -> None:
    answer = read(EMBEDDINGS, body)
    assert (answer.outcome, answer.content, answer.dimensions) == (Outcome.EMPTY, None, None)


def test_not_a_number_is_no_vector() -> None:
    line = b'{"custom_id":"r-1","response":{"status_code":200,"body":{"data":[{"index":0,"embedding":[NaN]}]}}}'
    answer = parse(line, EMBEDDINGS)
    assert answer is not None
    assert answer.outcome is Outcome.EMPTY


@pytest.mark.parametrize("known", [KNOWN, UNKNOWN])
def test_moderations(*, known: bool) -> None:
    verdict = {"flagged": True, "categories": {"self-harm/intent": True}, "category_scores": {"self-harm/intent": 0.9}}
    answer = read(MODERATIONS if known else "", {"id": "modr-1", "model": "omni", "results": [verdict]})
    assert (answer.outcome, answer.model_answered) == (Outcome.ANSWERED, "omni")
    assert json.loads(answer.content or "") == [verdict]
    assert read(MODERATIONS, {"results": []}).outcome is Outcome.EMPTY
    assert read(MODERATIONS, {"results": None}).outcome is Outcome.EMPTY


@pytest.mark.parametrize("known", [KNOWN, UNKNOWN])
@pytest.mark.parametrize(
    ("words", "finish", "outcome"),
    [
        ("tea", "stop", Outcome.ANSWERED),
        ("te", "length", Outcome.TRUNCATED),
        ("te", "content_filter", Outcome.FILTERED),
        ("", "stop", Outcome.EMPTY),
        (None, None, Outcome.EMPTY),
    ],
)
def test_completions(words: Any, finish: Any, outcome: Outcome, *, known: bool) -> None:
    body = {
        "object": "text_completion",
        "model": "m",
        "choices": [{"text": words, "index": 0, "finish_reason": finish}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
    answer = read(COMPLETIONS if known else "", body)
    assert (answer.outcome, answer.content, answer.finish_reason) == (outcome, words, finish)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.total_tokens) == (5, 2, 7)


@pytest.mark.parametrize("endpoint", [IMAGES, IMAGE_EDITS, VIDEOS])
def test_what_is_loaded_raw(endpoint: str) -> None:
    body = {"created": 1, "data": [{"b64_json": "é"}], "usage": USAGE}
    answer = read(endpoint, body)
    assert (answer.outcome, json.loads(answer.content or "")) == (Outcome.ANSWERED, body)
    assert (answer.prompt_tokens, answer.completion_tokens) == (11, 7)
    assert read(endpoint, {}).outcome is Outcome.EMPTY
    assert read(endpoint, {"status": "failed", "error": {"code": "x", "message": "m"}}).outcome is Outcome.ERROR


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, ""])
def test_errors_are_read_alike_at_every_endpoint(endpoint: str) -> None:
    body = {"error": {"message": "m", "type": "t", "param": None, "code": "c"}}
    assert (read(endpoint, body, 400).outcome, read(endpoint, body, 400).owed) == (Outcome.ERROR, False)
    assert (read(endpoint, body, 503).outcome, read(endpoint, body, 503).owed) == (Outcome.ERROR, True)
    assert read(endpoint, None).outcome is Outcome.EMPTY


def test_an_answer_counts_in_spite_of_an_error_beside_it() -> None:
    odd = {"code": "server_error", "message": "m"}
    assert read(RESPONSES, response(message(text("tea"))), error=odd).outcome is Outcome.ANSWERED
    assert read(EMBEDDINGS, vectors([1.0]), error=odd).outcome is Outcome.ANSWERED
    assert read(RESPONSES, {"id": "resp"}, error=odd).outcome is Outcome.ERROR


def test_the_endpoint_that_was_asked_goes_before_the_looks_of_a_body() -> None:
    body = {"object": "chat.completion", "choices": [{"message": {"content": "tea"}, "finish_reason": "stop"}]}
    assert read(CHAT, body).content == read("", body).content == "tea"
    assert read("/v1/chat/ds-test", body).content == "tea"
    assert read(RESPONSES, body).outcome is Outcome.EMPTY


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("depth", [50, 985, 1000])
def test_deep_nesting_never_crashes(endpoint: str, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for body in (response("@"), vectors("@"), {"results": ["@"]}, "@"):
        record = json.dumps({"custom_id": "r-1", "response": {"status_code": 200, "body": body}}).replace('"@"', deep)
        answer = parse(record.encode(), endpoint)
        assert answer is None or answer.custom_id == "r-1"
