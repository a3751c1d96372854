"""Answers held against a schema: typed values, or where and why they do not fit. No text costs a row."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchflow.plan.answer_types import AnswerColumn, AnswerPlan, field_kinds
from batchflow.results.judge import judge_of
from batchflow.results.outcome import Answer, Outcome
from batchflow.spec.fields import object_schema
from tests.unit.plan.plans import plan

FIELDS: dict[str, Any] = {
    "why": "text", "choice": ["kawaii", "cubs"], "score": "1..7", "sure": "boolean?", "rate": "0.0..1.0",
    "tags": "list of text", "at": {"lat": "number", "zip": "text?"},
}  # fmt: skip
GOOD: dict[str, Any] = {
    "why": "so", "choice": "cubs", "score": 3, "sure": True, "rate": 0.5, "tags": ["a"], "at": {"lat": 1, "zip": None},
}  # fmt: skip


def planned(schema: dict[str, Any]) -> AnswerPlan:
    columns = tuple(AnswerColumn(name, name, name, kind) for name, kind in field_kinds(schema).items())
    return AnswerPlan(columns, json.dumps(schema))


def judged(content: str, answer: AnswerPlan | None = None, **message: Any) -> Answer:
    """The answer to a result line with this content."""
    body = {"choices": [{"message": {"content": content, **message}, "finish_reason": "stop"}]}
    line = json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": body}}).encode()
    found = judge_of(plan(answer=answer or planned(object_schema(FIELDS))))(line)
    assert found is not None
    return found


def wide(schema: Any) -> AnswerPlan:
    """One field `f`, and nothing asked of others."""
    return planned({"type": "object", "properties": {"f": schema}})


def test_a_valid_answer_is_typed() -> None:
    answer = judged(json.dumps(GOOD))
    assert (answer.outcome, answer.error_message) == (Outcome.ANSWERED, None)
    assert answer.typed == ("so", "cubs", 3, True, 0.5, ["a"], {"lat": 1.0, "zip": None})
    assert [type(value) for value in answer.typed] == [str, str, int, bool, float, list, dict]
    assert type(answer.typed[-1]["lat"]) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 9}, "$.score: 9 is greater than the maximum of 7"),
        ({"score": 3.5}, '$.score: 3.5 is not of type "integer"'),
        ({"score": "3"}, '$.score: "3" is not of type "integer"'),
        ({"score": None}, '$.score: null is not of type "integer"'),
        ({"sure": 1}, "$.sure: 1 is not of types"),
        ({"choice": "Cubs"}, '$.choice: "Cubs" is not one of "kawaii" or "cubs"'),
        ({"tags": ["a", 3]}, '$.tags[1]: 3 is not of type "string"'),
        ({"at": {"lat": "x", "zip": None}}, '$.at.lat: "x" is not of type "number"'),
        ({"at": {"lat": 1}}, '$.at: "zip" is a required property'),
        ({"x": 1}, "$: Additional properties are not allowed ('x' was unexpected)"),
        ({"score": 9, "sure": 2}, "; "),
        ({"why": ["x" * 5000]}, "…"),
    ],
)
def test_an_invalid_answer_keeps_place_and_reason(change: dict[str, Any], message: str) -> None:
    answer = judged(json.dumps(GOOD | change))
    assert (answer.outcome, answer.owed, answer.error_code) == (Outcome.INVALID, False, "invalid_answer")
    assert message in (answer.error_message or "")
    assert len(answer.error_message or "") < 1200
    assert answer.typed is None
    assert answer.content == json.dumps(GOOD | change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("As a language model", "Expecting value"),
        ('{"a": 1', "Expecting ',' delimiter"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": 1e999}', "the number 1e999 is beyond what readers take"),
        ('{"a": ' + "9" * 5000 + "}", "is beyond what readers take"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', 'the field "c" stands twice in one object'),
        ("[" * 150_000, "nested too deeply"),
        ("[" * 300 + "]" * 300, "nested too deeply"),
        ("```json\n{}\n```", "Expecting value"),
    ],
)
def test_what_is_no_json_is_invalid(content: str, message: str) -> None:
    answer = judged(content)
    assert (answer.outcome, answer.error_code) == (Outcome.INVALID, "invalid_json")
    assert (answer.error_message or "").startswith("$: this is no JSON: ")
    assert message in (answer.error_message or "")


@pytest.mark.parametrize(
    ("schema", "value", "typed"),
    [
        ({"type": "integer"}, "1.0", 1),
        ({"type": "integer"}, "1e2", 100),
        ({"type": "integer"}, str(2**63 - 1), 2**63 - 1),
        ({"type": "integer"}, str(1 - 2**63), 1 - 2**63),
        ({"type": "number"}, str(10**30), 1e30),
        ({"type": "number"}, "1e-400", 0.0),
        ({"type": "string"}, r'"\ud800x"', r"\ud800x"),
        ({}, '{"b": [1.5, null], "a": "ä"}', '{"b":[1.5,null],"a":"ä"}'),
        ({}, '"x"', '"x"'),
        ({}, r'{"\ud800": 1}', r'{"\\ud800":1}'),
        ({}, "null", None),
        ({"type": "array", "items": {"type": ["integer", "null"]}}, "[1, null]", [1, None]),
        ({"$ref": "#/properties/f/$defs/x", "$defs": {"x": {"type": "boolean"}}}, "true", True),
    ],
)
def test_values_of_odd_forms(schema: Any, value: str, typed: Any) -> None:
    answer = judged(f'{{"f": {value}, "other": {{}}}}', wide(schema))
    assert answer.outcome is Outcome.ANSWERED
    assert answer.typed == (typed,)
    assert answer.typed is not None
    assert type(answer.typed[0]) is type(typed)


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({"type": "integer"}, str(2**63), "$.f: 9223372036854775808 is more than a column of whole numbers holds"),
        ({"type": "integer"}, "1e30", "64 bits"),
        ({"type": "array", "items": {"type": "integer"}}, f"[1, {10**20}]", "$.f[1]: 100000000000000000000 is more"),
        ({"type": "number"}, "9" * 350, "is more than a column of numbers holds"),
        (
            {"type": "object", "properties": {"a b": {"type": "integer"}}, "additionalProperties": False},
            f'{{"a b": {10**20}}}',
            '$.f["a b"]: 1000',
        ),
    ],
)
def test_a_number_that_no_column_holds_is_invalid(schema: Any, value: str, words: str) -> None:
    answer = judged(f'{{"f": {value}}}', wide(schema))
    assert (answer.outcome, answer.error_code) == (Outcome.INVALID, "invalid_answer")
    assert words in (answer.error_message or "")


def test_a_field_that_may_be_left_out_is_null() -> None:
    assert judged("{}", wide({"type": "integer"})).typed == (None,)


def test_only_answers_are_judged() -> None:
    refused = judged("", refusal="I cannot")
    assert (refused.outcome, refused.typed) == (Outcome.REFUSED, None)


def test_extracted_texts_never_make_an_answer_invalid() -> None:
    columns = tuple(AnswerColumn(name, name, name, "VARCHAR") for name in ("score", "why"))
    answer = AnswerPlan(columns, extract={"score": r"Score: (\d)", "why": "$.why"})
    assert judged("Score: 3", answer).typed == ("3", None)
    assert judged('{"why": "so"}', answer).typed == (None, "so")
    nothing = judged("no", answer)
    assert (nothing.outcome, nothing.typed) == (Outcome.ANSWERED, (None, None))


def test_without_answer_nothing_is_judged() -> None:
    line = json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": {"choices": [
        {"message": {"content": "free"}, "finish_reason": "stop"}
    ]}}}).encode()  # fmt: skip
    found = judge_of(plan())(line)
    assert found is not None
    assert (found.outcome, found.typed) == (Outcome.ANSWERED, None)


_JUDGE = judge_of(plan(answer=planned(object_schema(FIELDS))))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.text(st.characters()) | _JSON.map(json.dumps) | st.dictionaries(st.sampled_from(list(GOOD)), _JSON).map(
    lambda change: json.dumps(GOOD | change)
))  # fmt: skip
def test_every_text_has_an_outcome(content: str) -> None:
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    found = _JUDGE(json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": body}}).encode())
    assert found is not None
    assert found.outcome in {Outcome.ANSWERED, Outcome.INVALID, Outcome.EMPTY}
    assert (found.typed is not None) == (found.outcome is Outcome.ANSWERED)
    assert bool(found.error_message) == (found.outcome is Outcome.INVALID)
    (found.error_message or "").encode()
