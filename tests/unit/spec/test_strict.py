"""What strict mode allows: every rule, and the local server is of one mind with it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchflow.server.schema.forms import Document, SchemaRefused
from batchflow.server.schema.strict import check_strict
from batchflow.spec.strict import strict_problems

TEXT: dict[str, Any] = {"type": "string"}


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False, **more,
    }  # fmt: skip


def nested(levels: int) -> dict[str, Any]:
    return closed({"a": nested(levels - 1) if levels > 1 else TEXT})


CHOICES_250 = [f"{number:060d}" for number in range(251)]

ALLOWED = [
    closed({}),
    closed({"a": TEXT}, **{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "x"}),
    closed({"a": {"type": ["string", "null"], "description": "x", "minLength": 1, "pattern": "^x"}}),
    closed({"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": TEXT}}),
    closed({"a": {"type": "array", "items": {"$ref": "#"}}}),
    closed({"a": {"anyOf": [TEXT, {"type": "null"}]}}),
    closed({"a": {"enum": ["x", 1, None]}, "b": {"const": 3}}),
    closed({"default": TEXT, "oneOf": TEXT, "properties": closed({"required": TEXT})}),
    nested(10),
    closed({f"f{number}": TEXT for number in range(5000)}),
    closed({"a": {"type": "string", "enum": [str(number) for number in range(1000)]}}),
]
REFUSED = [
    ({"type": "array", "items": TEXT}, (), "the answer itself must be an object"),
    ({"anyOf": [closed({"a": TEXT})]}, ("anyOf",), "cannot be anyOf"),
    ({**closed({"a": TEXT}), "additionalProperties": True}, ("additionalProperties",), "must allow no other fields"),
    (closed({"a": {"type": "object", "properties": {}}}), ("properties", "a"), "must allow no other fields"),
    ({**closed({"a": TEXT, "b": TEXT}), "required": ["a"]}, ("required",), "not so 'b'"),
    ({**closed({"a": TEXT}), "required": ["a", "b"]}, ("required",), "'b' is required, but no field"),
    (closed({"a": {"oneOf": [TEXT]}}), ("properties", "a", "oneOf"), "`oneOf`"),
    (closed({"a": {**TEXT, "default": "x"}}), ("properties", "a", "default"), "`default`"),
    (closed({"a": {**TEXT, "format": "uri"}}), ("properties", "a", "format"), "format `uri`"),
    (closed({"a": {}}), ("properties", "a"), "has no type"),
    (closed({"a": True}), ("properties", "a"), "true or false"),
    (closed({"a": {"type": "array"}}), ("properties", "a"), "what it holds"),
    (closed({"a": {"type": "array", "items": {"type": "object"}}}), ("properties", "a", "items"), "no other fields"),
    (closed({"a": {"$ref": "#", "description": "x"}}), ("properties", "a", "$ref"), "`description`"),
    (closed({"a": TEXT}, **{"$defs": {"x": {"not": TEXT}}}), ("$defs", "x", "not"), "`not`"),
    (nested(11), ("properties", "a") * 10, "more than 10 levels"),
    (closed({f"f{number}": TEXT for number in range(5001)}), (), "5,001 fields"),
    (closed({"a": {"enum": [str(number) for number in range(1001)]}}), (), "1,001 choices"),
    (closed({"a": {"type": "string", "enum": CHOICES_250}}), ("properties", "a", "enum"), "15,000 characters"),
    (closed({"a" * 120_001: TEXT}), (), "120,001 characters"),
]


@pytest.mark.parametrize("schema", ALLOWED, ids=range(len(ALLOWED)))
def test_allowed(schema: dict[str, Any]) -> None:
    assert strict_problems(schema) == []
    check_strict(schema)


@pytest.mark.parametrize(("schema", "path", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused(schema: dict[str, Any], path: tuple[str, ...], words: str) -> None:
    found = {problem.path: problem for problem in strict_problems(schema)}
    assert words in found[path].cause
    assert found[path].remedy


def test_the_remedy_is_what_to_write() -> None:
    schema = {"type": "object", "properties": {"a": TEXT, "b": TEXT}}
    remedies = [problem.remedy for problem in strict_problems(schema)]
    assert remedies[0] == 'write "additionalProperties": false'
    assert remedies[1].startswith('write "required": ["a", "b"]')


_KEYWORDS = st.sampled_from([
    {}, {"minimum": 1}, {"oneOf": [TEXT]}, {"allOf": [TEXT]}, {"not": TEXT}, {"if": TEXT}, {"enum": ["a", None]},
    {"dependentRequired": {}}, {"additionalProperties": False}, {"additionalProperties": True}, {"required": ["a"]},
    {"items": TEXT}, {"properties": {"a": TEXT}}, {"anyOf": [TEXT, {"type": "object"}]}, {"prefixItems": [TEXT]},
])  # fmt: skip
_TYPES = st.sampled_from([{}, TEXT, {"type": "object"}, {"type": ["object", "null"]}, {"type": "array"}])
_PARTS = st.recursive(
    st.builds(lambda kind, more: {**kind, **more}, _TYPES, _KEYWORDS),
    lambda inner: st.one_of(
        st.builds(lambda each: {"type": "array", "items": each}, inner),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(closed),
        st.builds(lambda each: {"anyOf": [each, TEXT]}, inner),
    ),
    max_leaves=6,
)


@given(st.one_of(_PARTS, _PARTS.map(lambda each: closed({"x": each}))))
def test_what_passes_here_passes_the_local_server(schema: dict[str, Any]) -> None:
    """Ours is never more lenient; where the server refuses, so do we."""
    try:
        Document(schema)
    except SchemaRefused:
        return
    try:
        check_strict(schema)
    except SchemaRefused:
        assert strict_problems(schema)
