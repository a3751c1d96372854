"""What the body of each endpoint must have."""

import json
from typing import Any

import pytest

from batchflow.errors import Fault, TemplateError
from batchflow.prompts.body import Place
from batchflow.prompts.check import inputs_of
from batchflow.prompts.compile import compile_template
from batchflow.prompts.document import body_from_mapping, body_from_prompt
from batchflow.spec.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    ENDPOINTS,
    IMAGES,
    MODERATIONS,
    RESPONSES,
    VIDEOS,
)

SOUND: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": [{"role": "user", "content": "?"}]}),
    (CHAT, {"messages": "{{ m | json }}"}),
    (RESPONSES, {"input": "?"}),
    (RESPONSES, {"input": "{{ m }}", "instructions": "Be brief.", "text": {"format": {"type": "text"}}}),
    (RESPONSES, {"input": [{"role": "user", "content": "{{ m }}"}], "instructions": None, "background": False}),
    (RESPONSES, {"input": "{{ m | json }}"}),
    (RESPONSES, {"input": [{"role": "user", "content": "?"}, "{{ m | json }}"]}),
    (CHAT, {"messages": ["{{ m | json }}", {"role": "user", "content": "?"}]}),
    (RESPONSES, {"prompt": {"id": "pmpt_1", "variables": {"who": "{{ m }}"}}}),
    (EMBEDDINGS, {"input": "{{ m }}", "dimensions": 8, "encoding_format": "base64"}),
    (EMBEDDINGS, {"input": ["{{ m }}", "b"]}),
    (EMBEDDINGS, {"input": [1, 2, 3]}),
    (MODERATIONS, {"input": "{{ m }}"}),
    (MODERATIONS, {"input": [{"type": "text", "text": "{{ m }}"}]}),
    (COMPLETIONS, {"prompt": "{{ m }}", "max_tokens": 9}),
    (COMPLETIONS, {"prompt": ["{{ m }}"], "n": 1}),
    (COMPLETIONS, {"prompt": [1, 2, 3]}),
    (IMAGES, {"prompt": "{{ m }}", "n": 3}),
    (VIDEOS, {"prompt": "{{ m }}", "seconds": "4"}),
]


@pytest.mark.parametrize(("endpoint", "body"), SOUND)
def test_sound_bodies(endpoint: str, body: dict[str, Any]) -> None:
    template = compile_template(body_from_mapping({"model": "m-1", **body}), ("m",), endpoint)
    assert template.model == "m-1"


def faults(endpoint: str, body: dict[str, Any]) -> list[Fault]:
    with pytest.raises(TemplateError) as caught:
        compile_template(body_from_mapping(body), ("m",), endpoint)
    assert all(fault.remedy for fault in caught.value.faults)
    return list(caught.value.faults)


M = {"model": "m"}
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user"}]},
    RESPONSES: {"input": "?"},
    EMBEDDINGS: {"input": "?"},
    MODERATIONS: {"input": "?"},
}


@pytest.mark.parametrize(
    ("endpoint", "body", "cause"),
    [
        (RESPONSES, M, "the body has no input"),
        (RESPONSES, {**M, "input": ""}, "input must be a text, or a list"),
        (RESPONSES, {**M, "input": []}, "input must be a text, or a list"),
        (RESPONSES, {**M, "input": 7}, "input must be a text, or a list"),
        (RESPONSES, {**M, "input": {"role": "user"}}, "input must be a text, or a list"),
        (RESPONSES, {**M, "input": [{}, "x"]}, "input[1]: an item of input must be an object"),
        (RESPONSES, {**M, "prompt": "?"}, "prompt names a stored prompt here"),
        (RESPONSES, {**M, "prompt": {}}, "prompt names a stored prompt here"),
        (RESPONSES, {**M, "messages": [{"role": "user"}]}, "messages belongs to /v1/chat/completions"),
        (RESPONSES, {**M, "input": "?", "instructions": ["x"]}, "instructions must be a text"),
        (RESPONSES, {**M, "input": "?", "background": True}, "background"),
        (RESPONSES, {**M, "input": "?", "response_format": {}}, "response_format belongs to"),
        (RESPONSES, {**M, "input": "?", "max_tokens": 5}, "max_tokens belongs to"),
        (EMBEDDINGS, M, "the body has no input"),
        (EMBEDDINGS, {**M, "input": []}, "input must be a text, or a list"),
        (EMBEDDINGS, {**M, "messages": []}, "here it is input that says what is asked"),
        (EMBEDDINGS, {**M, "input": ["x"] * 2049}, "2,049 texts; one request takes at most 2,048"),
        (MODERATIONS, {**M, "prompt": "?"}, "the body has no input"),
        (COMPLETIONS, {**M, "input": "?"}, "the body has no prompt"),
        (COMPLETIONS, {**M, "messages": []}, "here it is prompt that says what is asked"),
        (COMPLETIONS, {**M, "prompt": ["a", "b"]}, "of the answers to several prompts"),
        (COMPLETIONS, {**M, "prompt": "a", "n": 2}, "n must be 1"),
        (IMAGES, M, "the body has no prompt"),
        (VIDEOS, {**M, "prompt": ""}, "prompt must be a text"),
        (CHAT, {**M, "input": "?"}, "the body has no messages"),
    ],
)
def test_bodies_that_no_endpoint_takes(endpoint: str, body: dict[str, Any], cause: str) -> None:
    assert any(cause in fault.cause for fault in faults(endpoint, body)), faults(endpoint, body)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_wants_a_model_and_no_stream(endpoint: str) -> None:
    body = ASKED.get(endpoint, {"prompt": "?"})
    assert [fault.cause for fault in faults(endpoint, body)] == ["the body: the body names no model"]
    (fault,) = faults(endpoint, {**M, **body, "stream": True})
    assert "cannot stream" in fault.cause
    assert "custom_id belongs to the line" in faults(endpoint, {"custom_id": "x"})[0].cause


def test_the_remedy_of_a_missing_model_fits_the_endpoint() -> None:
    assert "text-embedding-3-small" in faults(EMBEDDINGS, {"input": "?"})[0].remedy
    assert "omni-moderation-latest" in faults(MODERATIONS, {"input": "?"})[0].remedy
    assert "endpoint: /v1/responses" in faults(CHAT, {**M, "input": "?"})[0].remedy


def prompted(endpoint: str, system: str | None = None) -> Any:
    body = body_from_prompt(system, "Say {{m}}", None, endpoint).with_parameters(M)
    (rendered,) = compile_template(body, ("m",), endpoint).render({"m": ["x"]}, 1)
    return json.loads(rendered)


def test_the_short_form_at_every_endpoint() -> None:
    assert prompted(CHAT, "s")["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Say x"},
    ]
    assert prompted(RESPONSES, "s") == {"instructions": "s", "input": "Say x", **M}
    assert prompted(RESPONSES) == {"input": "Say x", **M}
    for endpoint, key in ((EMBEDDINGS, "input"), (MODERATIONS, "input"), (COMPLETIONS, "prompt"), (IMAGES, "prompt")):
        assert prompted(endpoint) == {key: "Say x", **M}


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each not in {CHAT, RESPONSES}])
def test_system_is_refused_where_nobody_would_hear_it(endpoint: str) -> None:
    seen: list[Place] = []

    def locate(place: Place, cause: str, remedy: str) -> Fault:
        seen.append(place)
        return Fault("e.yaml", cause, remedy)

    with pytest.raises(TemplateError) as caught:
        body_from_prompt("s", "u", locate, endpoint)
    (fault,) = caught.value.faults
    assert fault.cause == f"{endpoint} takes no system message"
    assert "user" in fault.remedy
    assert seen == [Place(("system",), key=True)]


@pytest.mark.parametrize("endpoint", [RESPONSES, EMBEDDINGS, COMPLETIONS])
def test_faults_in_a_short_form_point_into_it(endpoint: str) -> None:
    seen: list[Place] = []

    def locate(place: Place, cause: str, remedy: str) -> Fault:
        seen.append(place)
        return Fault("e.yaml", cause, remedy)

    system = "{{Nope}}" if endpoint == RESPONSES else None
    body = body_from_prompt(system, "é{{Nope}}", locate, endpoint).with_parameters(M)
    with pytest.raises(TemplateError):
        compile_template(body, ("m",), endpoint)
    assert seen == [Place(("system",), 0)] * bool(system) + [Place(("user",), 1)]


@pytest.mark.parametrize(
    ("given", "count"), [("a", 1), (["a"], 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([], 1), (None, 1)]
)
def test_inputs_are_counted(given: Any, count: int) -> None:
    assert inputs_of({"input": given}) == count
