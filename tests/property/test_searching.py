"""Patterns followed all ways at once find what the standard library finds, and nothing takes for ever."""

import json
import re
from contextlib import suppress
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchflow.server.responder import Ask
from batchflow.server.responding import SIMULATING
from batchflow.server.schema.effort import Effort
from batchflow.server.schema.forms import SchemaRefused
from batchflow.server.schema.searching import _parts, found

_ATOMS = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        r"\d",
        r"\W",
        "^",
        "$",
        r"\b",
        r"\B",
        "(?<=a)",
        "(?<!ab)",
        "(?=b)",
        "(?!a)",
        "(?i:A)",
    ]
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda ways: f"({'|'.join(ways)})")
        | st.tuples(inner, st.sampled_from(["*", "+?", "?", "{2}", "{1,3}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        )
        | inner.map(lambda one: f"(?={one})")
    )


@settings(max_examples=500, deadline=None)
@given(pattern=st.recursive(_ATOMS, _grown, max_leaves=6), text=st.text("aAb1 \n", max_size=7))
def test_all_ways_at_once_find_the_same(pattern: str, text: str) -> None:
    parts = _parts(pattern)
    ends = parts.after(parts.root, set(range(len(text) + 1)), text, Effort())
    assert bool(ends) is (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$",
        "(a|aa)+$",
        "(a*)*b",
        "(a|a|a)*b",
        "a*a*a*a*a*a*b",
        "a?" * 40 + "a" * 40 + "b",
        "(?=(a+)+b)",
        "(((a{0,9}){0,9}){0,9}){0,9}b",
    ],
)
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    before = process_time()
    with suppress(SchemaRefused):
        assert not found(pattern, "a" * 2_000 + "!", Effort())
    assert process_time() - before < 2


def test_a_pattern_that_cannot_be_bounded_is_refused() -> None:
    with pytest.raises(SchemaRefused, match="take for ever"):
        found(r"(a*)*\1b", "a" * 40, Effort())


def _references(end: Any) -> dict[str, Any]:
    """Every level refers to the next one twice: 2 ** 30 ways."""
    names = {f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(30)}
    return {"$defs": {**names, "d30": end}}


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "integer",
            "allOf": [{"anyOf": [{"minimum": n}, {"maximum": -n}]} for n in range(30)] + [{"type": "null"}],
        },
        {**_references({"type": "integer", "minimum": 5, "maximum": 4}), "$ref": "#/$defs/d0"},
        {**_references(False), "type": "string", "not": {"$ref": "#/$defs/d0"}},
        {"type": "array", "items": {"enum": list(range(10_000))}, "uniqueItems": True, "minItems": 5_000},
        {"enum": list(range(30_000))},
        {"allOf": [{"enum": list(range(20_000))}, {"enum": list(range(10_000, 30_000))}]},
        {"enum": ["a" * 20_000, "b"], "pattern": "(a+)+b|^b"},
        {"type": "integer", "minimum": 10**400},
        {"type": "number", "multipleOf": 10**400},
    ],
)
def test_no_schema_takes_for_ever(schema: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": wanted}
    before = process_time()
    reply = SIMULATING.made(0).reply(Ask(body, json.dumps(body).encode(), 1), 1)
    assert (reply.status in {200, 400}, process_time() - before < 10) == (True, True)
