"""What makes two requests the same holds for any text, any JSON, any number of requests."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from batchflow.identity import (
    IDENTITY_VERSION,
    JsonNumber,
    custom_id,
    fingerprint,
    json_bytes,
    json_text,
    request_key,
    scope_of,
    sha256_hex,
)
from batchflow.sources.maps import Built, MapWriter
from tests.property.halves import joined

quick = settings(max_examples=50, deadline=None)

BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
ANY_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from(BREAKS + '\x00\x7f\ud800\udfff"\\'))
NUMBERS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-"]),
        st.integers(0, 10**20).map(str),
        st.sampled_from(["", ".0", ".10", ".000", ".5"]),
        st.sampled_from(["", "e3", "E+05", "e-7"]),
    ),
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4), max_leaves=20
)


@quick
@given(ANY_TEXT)
@example(BREAKS)
@example("\ud800")
@example("\ud83d\ude00")
@example("\x7f\x80\x9f\xa0 \u2027\u202a 😀")
def test_any_text_is_one_line_of_json_and_comes_back(text: str) -> None:
    written = json_text(text)
    assert json.loads(written) == joined(text)
    assert written.splitlines() == [written]
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", written)


@quick
@given(VALUES)
@example({"a": {}, "b": [], "c": [[]], "": {"": None}})
def test_any_value_is_one_line_of_utf8_and_comes_back(value: Any) -> None:
    written = json_bytes(value)
    assert json.loads(written) == joined(value)
    assert written.split(b"\n") == [written]
    assert written.splitlines() == [written]
    assert written.decode("utf-8").splitlines() == [written.decode("utf-8")]


@quick
@given(VALUES)
def test_nothing_stands_between_the_tokens(value: Any) -> None:
    bare = re.sub(rb'"(\\.|[^"\\])*"', b'""', json_bytes(value))
    assert not re.search(rb"\s", bare)


@quick
@given(st.lists(st.text(), unique=True, max_size=8))
def test_the_order_of_keys_is_the_authors(keys: list[str]) -> None:
    written = json_bytes({key: position for position, key in enumerate(keys)})
    assert [key for key, _ in json.loads(written, object_pairs_hook=list)] == keys


@quick
@given(NUMBERS)
@example("1.0")
@example("1e3")
@example("-0")
@example("0.10")
def test_numbers_stay_as_written(number: str) -> None:
    assert json_bytes({"n": [JsonNumber(number)]}) == f'{{"n":[{number}]}}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), b"bytes", object()])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        json_bytes([value])


def built(bodies: list[str]) -> list[Built]:
    """One request a body, in row order; two to a shard."""
    return [
        Built(f"id-{n}", n // 3 + 1, "r", n % 3 + 1, 1, sha256_hex(body.encode()), n // 2 + 1, n % 2 + 1)
        for n, body in enumerate(bodies)
    ]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scope=st.text(max_size=20),
    endpoint=st.text(max_size=20),
    bodies=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40),
)
@example(scope="openai/api.openai.com", endpoint="/v1/chat/completions", bodies=["a", "b", "a", "a", "b"])
@example(scope="", endpoint="", bodies=["a"])
def test_the_sql_of_the_map_is_the_same_definition(
    tmp_path: Path, scope: str, endpoint: str, bodies: list[str]
) -> None:
    assume("\x00" not in scope + endpoint)
    target = tmp_path / "map.parquet"
    requests = built(bodies)
    with MapWriter() as writer:
        writer.add(requests)
        finished = writer.finish(target, scope, endpoint)
    found = duckdb.execute(
        "SELECT custom_id, draw, request_key FROM read_parquet(?) ORDER BY shard, line", [str(target)]
    )
    drawn: Counter[str] = Counter()
    expected = []
    for request in requests:
        drawn[request.body_sha256] += 1
        draw = drawn[request.body_sha256]
        expected.append((request.custom_id, draw, request_key(scope, endpoint, request.body_sha256, draw)))
    assert found.fetchall() == expected
    assert (finished.requests, finished.distinct) == (len(bodies), len(set(bodies)))
    assert len({key for *_, key in expected}) == len(bodies)


def test_a_request_key_is_pinned() -> None:
    key = request_key("openai/api.openai.com", "/v1/chat/completions", sha256_hex(b'{"model":"gpt-4o"}'), 1)
    assert IDENTITY_VERSION == 1
    text = "1\nopenai/api.openai.com\n/v1/chat/completions\n" + sha256_hex(b'{"model":"gpt-4o"}') + "\n1"
    assert key == sha256_hex(text.encode())


@quick
@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 10**6), st.integers(1, 10**6)), unique=True, max_size=30)
)
@example([(1, 12, 3), (1, 1, 23), (11, 2, 3), (9_999_999, 1, 1), (10_000_000, 1, 1)])
def test_custom_ids_are_unique_short_and_plain(places: list[tuple[int, int, int]]) -> None:
    names = [custom_id(*place, "3f9c2a71" + "0" * 56) for place in places]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    assert all(name.endswith("-3f9c2a71") for name in names)


def test_a_custom_id_reads_as_documented() -> None:
    assert custom_id(123, 2, 1, "3f9c2a71ffff") == "0000123-2-1-3f9c2a71"


def test_a_scope_names_who_is_asked_and_what_answers() -> None:
    assert scope_of("openai", "api.openai.com") == "openai/api.openai.com"
    one = scope_of("local", "localhost", responder="simulate", responder_version=1, seed=0)
    others = [
        scope_of("local", "localhost", responder="simulate", responder_version=2, seed=0),
        scope_of("local", "localhost", responder="simulate", responder_version=1, seed=1),
        scope_of("local", "localhost", responder="replay", responder_version=1, seed=0),
        scope_of("openai", "localhost", responder="simulate", responder_version=1, seed=0),
        scope_of("local", "localhost"),
    ]
    assert len({one, *others}) == 6


SHAPING = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
CONTENT = st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3)


@quick
@given(scope=st.text(), shaping=SHAPING, content=CONTENT, data=st.data())
def test_a_fingerprint_changes_with_anything_it_is_made_of(
    scope: str, shaping: dict[str, Any], content: dict[str, str], data: st.DataObject
) -> None:
    whole = fingerprint(scope, shaping, content)
    assert re.fullmatch("[0-9a-f]{64}", whole)
    assert fingerprint(scope + "x", shaping, content) != whole
    assert fingerprint(scope, {**shaping, "new key": None}, content) != whole
    assert fingerprint(scope, shaping, {**content, "new key": ""}) != whole
    if shaping:
        key = data.draw(st.sampled_from(sorted(shaping)))
        assert fingerprint(scope, {**shaping, key: [shaping[key]]}, content) != whole
    if content:
        key = data.draw(st.sampled_from(sorted(content)))
        assert fingerprint(scope, shaping, {**content, key: content[key] + "x"}) != whole


@quick
@given(scope=st.text(), shaping=SHAPING, content=CONTENT)
def test_a_fingerprint_does_not_depend_on_the_order_of_the_specs_keys(
    scope: str, shaping: dict[str, Any], content: dict[str, str]
) -> None:
    turned = dict(reversed(shaping.items())), dict(reversed(content.items()))
    assert fingerprint(scope, *turned) == fingerprint(scope, shaping, content)


def test_a_fingerprint_depends_on_the_order_inside_a_value_and_on_how_a_number_is_written() -> None:
    def of(value: Any) -> str:
        return fingerprint("s", {"parameters": value}, {})

    assert of({"a": 1, "b": 2}) != of({"b": 2, "a": 1})
    assert of(JsonNumber("1.0")) != of(JsonNumber("1"))
