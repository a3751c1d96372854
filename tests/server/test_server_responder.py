"""The simulated answers: the same for the same request, made from its own words, possible for any prompt."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.server.model_names import answering
from batchflow.server.responder import RESPONDER_VERSION, Ask
from batchflow.server.simulator import Simulator

_DECK = (
    "Please select the image you find the most appealing from these three and explain your choice. The image on the "
    "left can be called 'kawaii', the image in the middle 'cubs', and the image on the right 'futuristic'."
)
_PERSONA = (
    "You are a participant in a marketing study from Monkeys Elbow, Kentucky. Here is your persona: "
    "Hank Rodriguez is a 28 year old black architect who enjoys Star Wars."
)


def _reply(messages: Any, *, seed: int = 0, draw: int = 1, outcome: str = "", **body: Any) -> dict[str, Any]:
    asked = {"model": "gpt-4o", "messages": messages, **body}
    reply = Simulator(seed).reply(Ask(asked, json.dumps(asked).encode(), draw, outcome), created=1)
    assert reply.status == 200, reply.body
    return reply.body


def _said(messages: Any, **options: Any) -> str:
    return str(_reply(messages, **options)["choices"][0]["message"]["content"])


def _deck(**options: Any) -> str:
    parts = [{"type": "text", "text": _DECK}, {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}]
    system = [{"type": "text", "text": _PERSONA}]
    return _said([{"role": "system", "content": system}, {"role": "user", "content": parts}], **options)


def test_the_wording_is_pinned_to_its_version() -> None:
    assert RESPONDER_VERSION == 1, "other words are another scope: raise the version, then pin the new words"
    assert _deck() == (
        "As Hank Rodriguez, a 28 year old black architect who enjoys Star Wars, I find the 'futuristic' image most "
        "appealing, because its mood comes closest to how I see my own days. I hesitated over 'cubs' for a moment. "
        "I would not need long to decide."
    )


def test_the_wording_of_structured_answers_is_pinned_too() -> None:
    text = {"type": "string"}
    properties = {"name": text, "choice": {"enum": ["kawaii", "cubs", "futuristic"]}, "reason": text, "mood": text}
    schema = {"type": "object", "properties": {**properties, "rating": {"type": "integer", "minimum": 1, "maximum": 7}}}
    schema["required"] = list(schema["properties"])
    wanted = {"type": "json_schema", "json_schema": {"name": "appeal", "schema": schema}}
    assert _deck(response_format=wanted) == (
        '{"name":"Hank Rodriguez","choice":"cubs","reason":"As Hank Rodriguez, a 28 year old black architect who '
        "enjoys Star Wars, I find the 'cubs' image most appealing, because it feels honest and does not try too hard. "
        "Next to it, 'futuristic' looks somewhat ordinary. My friends would probably agree.\","
        '"mood":"lively","rating":1}'
    )


def test_the_persona_speaks_and_chooses_among_what_is_quoted() -> None:
    answers = {_deck(draw=draw) for draw in range(1, 60)}
    opening = "As Hank Rodriguez, a 28 year old black architect who enjoys Star Wars, I find the '"
    assert all(answer.startswith(opening) for answer in answers)
    assert {answer.removeprefix(opening).split("'")[0] for answer in answers} == {"kawaii", "cubs", "futuristic"}
    assert len(answers) > 40


def test_seed_draw_and_body_each_change_the_answer() -> None:
    assert _deck() == _deck()
    assert len({_deck(), _deck(seed=1), _deck(draw=2), _deck(temperature=0)}) == 4


def test_prompts_of_other_shapes() -> None:
    user = {"role": "user", "content": "What is your favourite book?"}
    assert "What is your favourite book?" in _said([user])
    assert _said([{"role": "system", "content": "You are: a nurse from Ulm"}, user]).startswith("As a nurse from Ulm, ")
    german = {"role": "system", "content": "Du bist eine Lehrerin aus Köln."}
    assert "Du bist eine Lehrerin aus Köln." in _said([german, user])
    chosen = _said([{"role": "user", "content": "Was gefällt dir besser, „Tee“ oder „Kaffee“?"}])
    assert "'Tee'" in chosen or "'Kaffee'" in chosen
    assert _said([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    assert _said([{"role": "user", "content": None}])


def test_no_prompt_takes_long() -> None:
    texts = ["x" * 50_000, "« " * 9_000, "'" * 9_000, "A is a " * 9_000, "Xx " * 9_000, "? " * 9_000, "enjoys " * 9_000]
    for text in texts:
        began = time.perf_counter()
        _said([{"role": "system", "content": text}, {"role": "user", "content": text}])
        assert time.perf_counter() - began < 0.1, text[:10]


def test_limits_and_choices_are_heeded() -> None:
    user = [{"role": "user", "content": "Tell me 'a' or 'b'."}]
    cut = _reply(user, max_tokens=5)
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] <= 5
    several = _reply(user, n=3)["choices"]
    assert [choice["index"] for choice in several] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in several}) > 1


def test_what_this_version_cannot_answer_is_a_plain_400() -> None:
    bodies: list[dict[str, Any]] = [
        {"messages": []},
        {"messages": "hi"},
        {"messages": [{}], "response_format": {"type": "json_schema"}},
    ]
    for body in bodies:
        reply = Simulator(0).reply(Ask({"model": "m", **body}, b"{}", 1), created=1)
        assert (reply.status, reply.body["error"]["type"]) == (400, "invalid_request_error")


_TEXT = st.text(st.characters(), max_size=60)
_CONTENT = st.none() | _TEXT | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": _TEXT | st.integers()}))
_MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "developer"]), "content": _CONTENT}),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(_MESSAGES, st.integers(1, 50), st.sampled_from(["", "refusal", "truncated", "filtered", "empty"]))
def test_any_prompt_is_answered(messages: list[dict[str, Any]], draw: int, outcome: str) -> None:
    body = _reply(messages, draw=draw, outcome=outcome)
    assert json.dumps(body) == json.dumps(_reply(messages, draw=draw, outcome=outcome))
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    if not outcome:
        assert body["choices"][0]["message"]["content"].strip()


@pytest.mark.parametrize(
    ("asked", "dated"),
    [("gpt-4o", False), ("gpt-5.4-pro-2026-03-05", True), ("gpt-4-0613", True), ("ünïcode", False)],
)
def test_an_alias_is_answered_by_a_dated_name(asked: str, dated: bool) -> None:
    named = answering(asked)
    assert named == answering(asked)
    assert re.fullmatch(rf"simulated/{asked}" + ("" if dated else r"-202[45]-\d\d-\d\d"), named)
