"""What a request weighs: by the tokenizer, by the rules for images, by what caps its answers."""

import base64
import json
import sys
from typing import Any

import pytest

from batchflow.cost.images import image_tokens
from batchflow.cost.tokenizer import tokenizer_of
from batchflow.cost.weighing import Scale, Weight
from batchflow.spec.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, IMAGES, RESPONSES


def weigh(body: dict[str, Any], endpoint: str = CHAT, *, exact: bool = True) -> Weight:
    size = len(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())
    return Scale(endpoint, exact=exact).weigh(body, size)


def chat(*contents: Any, model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content} for content in contents], **more}


def picture(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


JARGON = "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."
CIRCLE = "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."


def test_the_cookbooks_examples_are_counted_as_openai_counts_them() -> None:
    # the messages of the notebook "How to count tokens with tiktoken": 129 with gpt-3.5-turbo, 124 with gpt-4o
    messages = [
        ("system", JARGON),
        ("example_user", "New synergies will help drive top-line growth."),
        ("example_assistant", "Things working well together will increase revenue."),
        (
            "example_user",
            CIRCLE,
        ),
        ("example_assistant", "Let's talk later when we're less busy about how to do better."),
        ("user", "This late pivot means we don't have time to boil the ocean for the client deliverable."),
    ]  # fmt: skip
    listed = [
        {"role": "system", "name": role, "content": text} if "_" in role else {"role": role, "content": text}
        for role, text in messages
    ]
    for model, tokens in (("gpt-3.5-turbo", 129), ("gpt-4o", 124)):
        found = weigh({"model": model, "messages": listed})
        assert (found.tokens, found.exact) == (tokens, True)


def test_without_the_extra_a_quarter_of_the_bytes_is_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer_of.cache_clear()
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    monkeypatch.setitem(sys.modules, "tiktoken.model", None)
    found = weigh(chat("x" * 1000))
    tokenizer_of.cache_clear()
    assert (found.exact, found.tokens) == (
        False,
        (1000 + len('{"model":"gpt-4o","messages":[{"role":"user","content":""}]}') + 3) // 4,
    )


def test_a_model_that_no_tokenizer_knows_is_estimated() -> None:
    assert not weigh(chat("hello", model="gpt-6-luna")).exact
    assert not weigh(chat("hello", model="gpt-oss-20b")).exact  # its vocabulary is not in the wheel


def test_a_text_that_the_library_does_not_take_is_estimated() -> None:
    found = weigh(chat("a" * 1_100_000))
    assert not found.exact
    assert found.tokens <= found.bound


def test_schemas_and_tools_are_counted_but_not_called_exact() -> None:
    plain, asked = weigh(chat("hello")), weigh(chat("hello", response_format={"type": "json_object"}))
    assert plain.exact
    assert not asked.exact
    assert asked.tokens > plain.tokens


@pytest.mark.parametrize(
    ("endpoint", "body", "output"),
    [
        (CHAT, {"messages": []}, None),
        (CHAT, {"messages": [], "max_tokens": 50}, 50),
        (CHAT, {"messages": [], "max_tokens": 50, "max_completion_tokens": 70, "n": 3}, 210),
        (CHAT, {"messages": [], "max_tokens": None}, None),
        (RESPONSES, {"input": "x", "max_output_tokens": 99}, 99),
        (RESPONSES, {"input": "x", "max_tokens": 99}, None),
        (EMBEDDINGS, {"input": "x"}, 0),
        (COMPLETIONS, {"prompt": "x"}, 16),
        (COMPLETIONS, {"prompt": "x", "max_tokens": 5, "best_of": 4}, 20),
        (IMAGES, {"prompt": "x"}, None),
    ],
)
def test_the_cap_of_the_answers(endpoint: str, body: dict[str, Any], output: int | None) -> None:
    assert weigh({"model": "gpt-4o", **body}, endpoint).output == output


def test_images_follow_the_published_rules() -> None:
    assert image_tokens("gpt-4o", None) == 85 + 8 * 170
    assert image_tokens("gpt-4o-2024-08-06", "low") == 85
    assert image_tokens("gpt-4o-mini", "high") == 2_833 + 8 * 5_667
    assert image_tokens("gpt-4.1-mini", None) == 6_637  # 64 x 64 patches
    assert image_tokens("gpt-6-luna", None) is None
    assert image_tokens("gpt-6-luna", "low", (10, 10)) is None


def test_images_of_known_size_are_counted_as_in_the_guides_examples() -> None:
    assert image_tokens("gpt-4o", "high", (1024, 1024)) == 765
    assert image_tokens("gpt-4o", "high", (2048, 4096)) == 1_105
    assert image_tokens("gpt-4o", "low", (4096, 8192)) == 85
    assert image_tokens("gpt-5.4", "high", (1024, 1024)) == 1_229 + 1  # which rounding may make more
    assert image_tokens("gpt-5.4", "high", (2048, 2048)) == 3_000 + 1


def test_an_image_within_the_request_is_counted_by_its_size() -> None:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (512).to_bytes(4, "big") + (300).to_bytes(4, "big")
    data = "data:image/png;base64," + base64.b64encode(head + bytes(9_000)).decode()
    found = weigh(chat([{"type": "text", "text": "what is it?"}, picture(data, detail="high")]))
    assert (found.images, found.unknown) == (85 + 170, False)
    elsewhere = weigh(chat([{"type": "text", "text": "what is it?"}, picture("https://example.org/a.png")]))
    assert elsewhere.images == 85 + 8 * 170


def test_an_images_bytes_are_no_text() -> None:
    data = "data:image/png;base64," + "A" * 100_000
    found = weigh(chat([{"type": "text", "text": "what is it?"}, picture(data, detail="low")]))
    assert (found.images, found.unknown, found.exact) == (85, False, False)
    assert found.bound < 1_000


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, chat([picture("https://example.org/a.png")], model="gpt-6-luna")),
        (CHAT, chat([{"type": "input_audio", "input_audio": {"data": "AA=="}}])),
        (
            RESPONSES,
            {"model": "gpt-4o", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        ),
        (
            RESPONSES,
            {"model": "gpt-4o", "input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        ),
        (RESPONSES, {"model": "gpt-4o", "input": "x", "tools": [{"type": "web_search"}]}),
        (RESPONSES, {"model": "gpt-4o", "input": "x", "previous_response_id": "resp_1"}),
        (RESPONSES, {"model": "gpt-4o", "prompt": {"id": "pmpt_1"}}),
        (IMAGES, {"model": "gpt-image-1", "prompt": "a cat"}),
    ],
)
def test_what_is_not_in_the_body_makes_the_bound_unknown(endpoint: str, body: dict[str, Any]) -> None:
    assert weigh(body, endpoint).unknown


def test_embeddings_are_counted_by_their_texts() -> None:
    body = {"model": "text-embedding-3-small", "input": ["hello world", "x"]}
    assert weigh(body, EMBEDDINGS)[:2] == (3, True)
    assert weigh(body, EMBEDDINGS, exact=False)[:2] == (4, False)
    assert weigh({**body, "input": [1, 2, 3]}, EMBEDDINGS)[:2] == (3, True)
