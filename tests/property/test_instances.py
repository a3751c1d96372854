"""Instances of schemas: valid by an independent judge, whatever the schema; refused rather than wrong."""

import json
import re
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from batchflow.server.dice import Stream
from batchflow.server.responder import Ask
from batchflow.server.schema.checking import Judge
from batchflow.server.schema.formats import FORMATS, has_format, of_format
from batchflow.server.schema.forms import Document, SchemaRefused, document
from batchflow.server.schema.patterns import NotGenerated, matching
from batchflow.server.simulator import Simulator

_NAMES = st.sampled_from(["choice", "reason", "age", "rating", "name", "tags", "next"])
_PLAIN = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, "a", "", "kawaii"])
_BOUND = st.integers(-20, 20) | st.sampled_from([0.5, -2.25, 1e6])
_PATTERNS = [
    *(r"^[A-Z]{2}-\d{3}$", r"^(yes|no)$", r"\d+", r"^[^a-z]+$", r"(?i)^q\w*$", r"^\+?[0-9 ()-]{7,}$", r"^.{2,4}$"),
    *(r"^(a|b(c|d)?)+$", r"^([a-z])\1$", r"[\s\S]*", r"^(?=.*\d)[a-z0-9]{4}$", r"", r"^\S+@\S+\.\S+$", r"[À-ÿ]+"),
]


def _kept(**named: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=named)


_FORMAT_CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
_OUR_FORMATS = jsonschema.FormatChecker(())  # whether a format is asserted is for each reader to say: here all are
for _name in FORMATS:
    _OUR_FORMATS.checks(_name)(lambda text, name=_name: not isinstance(text, str) or has_format(text, name))
_SMALL = st.integers(0, 4)
_NUMBERS = _kept(
    minimum=_BOUND, maximum=_BOUND, exclusiveMinimum=_BOUND, exclusiveMaximum=_BOUND,
    multipleOf=st.sampled_from([1, 2, 3, 0.5, 0.1, 0.01, 7.5]),
)  # fmt: skip
_STRINGS = _kept(
    minLength=st.integers(0, 60), maxLength=st.integers(0, 80), pattern=st.sampled_from(_PATTERNS),
    format=st.sampled_from([*FORMATS, "unknown"]),
)  # fmt: skip


def _of(kind: Any, keywords: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return keywords.map(lambda given: {"type": kind, **given})


_LEAVES = st.one_of(
    st.booleans(),
    st.builds(dict),
    st.sampled_from([{"$ref": "#/$defs/node"}, {"$ref": "#"}, {"type": "null"}, {"type": "boolean"}]),
    _of("integer", _NUMBERS),
    _of("number", _NUMBERS),
    _of("string", _STRINGS),
    _of(["string", "null"], _STRINGS),
    _of(["integer", "string"], _NUMBERS),
    st.lists(_PLAIN, min_size=1, max_size=4).map(lambda values: {"enum": values}),
    _PLAIN.map(lambda value: {"const": value}),
)


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    schemas = st.lists(inner, min_size=1, max_size=3)
    members = st.dictionaries(_NAMES, inner, max_size=4)
    objects = _kept(
        properties=members, required=st.lists(_NAMES, max_size=3), additionalProperties=inner,
        minProperties=_SMALL, maxProperties=_SMALL,
        patternProperties=st.dictionaries(st.sampled_from(["^n", "e$"]), inner),
        dependentRequired=st.dictionaries(_NAMES, st.lists(_NAMES, max_size=2), max_size=1),
        propertyNames=_of("string", _kept(maxLength=st.integers(3, 9), pattern=st.just("^[a-z_0-9]+$"))),
    )  # fmt: skip
    arrays = _kept(
        items=inner, prefixItems=schemas, minItems=_SMALL, maxItems=_SMALL, uniqueItems=st.booleans(), contains=inner,
        minContains=st.integers(0, 2), maxContains=st.integers(1, 3),
    )  # fmt: skip
    combined = _kept(allOf=schemas, anyOf=schemas, oneOf=schemas)
    combined |= st.fixed_dictionaries({"not": inner})
    combined |= st.fixed_dictionaries({"if": inner, "then": inner, "else": inner})
    return st.one_of(
        _of("object", objects),
        _of("array", arrays),
        objects,
        combined,
        st.tuples(_of("object", objects), combined).map(lambda pair: {**pair[0], **pair[1]}),
    )


_SCHEMAS = st.recursive(_LEAVES, _grown, max_leaves=12)


def _whole(schema: Any, node: Any) -> dict[str, Any]:
    return {**(schema if isinstance(schema, dict) else {"not": {}} if schema is False else {}), "$defs": {"node": node}}


def _asked(schema: Any, draw: int = 1, prompt: str = "Choose 'kawaii' or 'cubs'.") -> Any:
    wanted = {"type": "json_schema", "json_schema": {"name": "wanted", "schema": schema}}
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "response_format": wanted}
    return Simulator(0).reply(Ask(body, json.dumps(body).encode(), draw), 1)


def _answer(schema: Any, draw: int = 1) -> Any:
    reply = _asked(schema, draw)
    assert reply.status == 200, reply.body
    return json.loads(reply.body["choices"][0]["message"]["content"])


def _is_valid(value: Any, schema: Any) -> bool:
    return jsonschema.Draft202012Validator(schema, format_checker=_OUR_FORMATS).is_valid(value)


@settings(max_examples=400, deadline=None)
@given(_SCHEMAS, _SCHEMAS, st.integers(1, 5))
def test_an_instance_is_valid_or_the_row_is_refused(schema: Any, node: Any, draw: int) -> None:
    whole = _whole(schema, node)
    reply = _asked(whole, draw)
    event(f"status {reply.status}")
    if reply.status == 200:
        assert _is_valid(json.loads(reply.body["choices"][0]["message"]["content"]), whole)
    else:
        assert reply.body["error"]["message"].startswith("Invalid schema for response_format 'wanted': ")
        assert reply.body["error"]["code"] == "invalid_json_schema"


_VALUES = st.recursive(
    _PLAIN | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(_SCHEMAS, _SCHEMAS, _VALUES)
def test_the_simulators_judge_agrees_with_the_other_one(schema: Any, node: Any, value: Any) -> None:
    whole = _whole(schema, node)
    assume(not re.search(r'"(format|multipleOf)":', json.dumps(whole)))  # read more strictly here
    try:
        judged = Judge(Document(whole)).fits(value, whole)
    except SchemaRefused:
        assume(False)
        raise
    assert judged == _is_valid(value, whole)


_PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "choice": {"type": "string", "enum": ["kawaii", "cubs"]},
        "reason": {"type": "string", "minLength": 20, "maxLength": 200},
        "rating": {"type": "integer", "minimum": 1, "maximum": 7},
        "share": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.05},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        "mail": {"type": "string", "format": "email", "maxLength": 40},
        "when": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
        "place": {"$ref": "#/$defs/place"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tree": {"$ref": "#/$defs/tree"},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"const": 1}], "items": False, "minItems": 2},
    },
    "additionalProperties": False,
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"town": {"type": "string"}, "country": {"const": "US"}},
            "required": ["town", "country"],
            "additionalProperties": False,
        },
        "tree": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
            "required": ["name", "next"],
            "additionalProperties": False,
        },
    },
}  # fmt: skip
_PERSON["required"] = list(_PERSON["properties"])


def test_a_usual_schema_is_answered_in_its_order_and_varied() -> None:
    answers = [_answer(_PERSON, draw) for draw in range(1, 41)]
    for answer in answers:
        assert list(answer) == _PERSON["required"]
        jsonschema.validate(answer, _PERSON)
        assert f"'{answer['choice']}'" in answer["reason"], "what it chose is what it explains"
    assert {answer["choice"] for answer in answers} == {"kawaii", "cubs"}
    assert {answer["rating"] for answer in answers} == set(range(1, 8))
    assert len({answer["reason"] for answer in answers}) > 20
    assert {answer["note"] is None for answer in answers} == {True, False}
    assert _answer(_PERSON, 7) == _answer(_PERSON, 7)


_SATISFIABLE: list[Any] = [
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
               {"properties": {"b": {"enum": [1, 2]}}, "required": ["b"]}]},
    {"type": "object", "additionalProperties": {"type": "integer", "minimum": 3}, "minProperties": 2},
    {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]},
    {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-9},
    {"type": "number", "minimum": 1e300, "maximum": 1e308},
    {"type": "integer", "multipleOf": 0.5, "minimum": 7, "maximum": 7},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "contains": {"const": "x"}, "minContains": 2, "items": {"type": "string", "maxLength": 3}},
    {"type": "string", "minLength": 900},
    {"type": "string", "pattern": "^[a-z]+$", "minLength": 300, "maxLength": 310},
    {"type": "string", "not": {"enum": ["x"]}, "maxLength": 5},
    {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"],
     "if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["more"]}},
    {"type": "object", "properties": {"next": {"$ref": "#"}, "all": {"type": "array", "items": {"$ref": "#"}}}},
    {"type": "object", "patternProperties": {"^x-[0-9]$": {"type": "integer"}}, "additionalProperties": False,
     "minProperties": 1},
    {"$ref": "#/$defs/a%20b~1c", "$defs": {"a b/c": {"type": "null"}}},
    {"enum": [{"a": 1}, [1], None, True]},
]  # fmt: skip


@pytest.mark.parametrize("schema", _SATISFIABLE, ids=json.dumps)
def test_what_can_be_satisfied_is(schema: Any) -> None:
    for draw in range(1, 11):
        jsonschema.validate(_answer(schema, draw), schema)


_REFUSED: list[tuple[Any, str]] = [
    (False, "no value was found"),
    ({"type": "strin"}, "'type' at # must be one of"),
    ({"type": "object", "properties": {"a": {"enum": []}}}, "'enum' at #/properties/a"),
    ({"$ref": "https://example.org/x"}, "does not point into the schema itself"),
    ({"$ref": "#/$defs/none"}, "points at nothing"),
    ({"$ref": "#"}, "refers to itself without end"),
    ({"type": "object", "anyOf": [{}, {"not": {"$ref": "#"}}]}, "refers to itself without end"),
    ({"type": "object", "unevaluatedProperties": False}, "'unevaluatedProperties'"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no value was found"),
    ({"type": "string", "pattern": "("}, "a regular expression that can be read here"),
    ({"type": "string", "pattern": r"^\p{L}+$"}, "a regular expression that can be read here"),
    ({"type": "string", "pattern": "^a$", "minLength": 2}, "no value was found"),
    ({"type": "integer", "minimum": 2, "maximum": 1}, "no value was found"),
    ({"type": "array", "items": {"type": "null"}, "minItems": 2, "uniqueItems": True}, "no value was found"),
    ({"type": "array", "minItems": 10**9}, "no value was found"),
    ({"type": "number", "exclusiveMinimum": True}, "'exclusiveMinimum' at # must be a number"),
    ({"items": [{"type": "string"}]}, "#/items is not a schema"),
    ({"const": 1, "enum": [2]}, "no value was found"),
]


@pytest.mark.parametrize(("schema", "said"), _REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_what_cannot_be_satisfied_is_refused_with_a_word(schema: Any, said: str) -> None:
    reply = _asked(schema)
    assert reply.status == 400
    assert said in reply.body["error"]["message"]
    assert reply.body["error"]["param"] == "response_format"


def test_a_schema_without_end_is_given_up_soon() -> None:
    endless = {"type": "object", "minProperties": 2, "additionalProperties": {"$ref": "#"}}
    began = time.perf_counter()
    assert _asked(endless).status == 400
    assert time.perf_counter() - began < 10


@given(st.sampled_from(FORMATS), st.binary(max_size=8))
def test_formats_are_what_they_say(name: str, salt: bytes) -> None:
    text = of_format(name, Stream(salt))
    assert text is not None
    assert has_format(text, name)
    jsonschema.validate(text, {"format": name}, format_checker=_FORMAT_CHECKER)


@given(st.sampled_from(_PATTERNS), st.binary(max_size=8))
def test_patterns_are_matched(pattern: str, salt: bytes) -> None:
    found = False
    stream = Stream(salt)
    for stretch in (1, 3, 8) * 30:
        try:
            found = re.search(pattern, matching(pattern, stream, stretch=stretch)) is not None
        except NotGenerated:
            continue
        if found:
            break
    assert found


def test_schemas_that_rows_share_are_read_once() -> None:
    assert document(json.dumps(_PERSON)) is document(json.dumps(_PERSON))
