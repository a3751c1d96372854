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
from batchflow.sources import first_map
from batchflow.sources.first_map import MapWriter
from batchflow.sources.maps import Finished
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


def store_rows(path: Path, count: int) -> None:
    duckdb.execute(
        "COPY (SELECT n + 1 AS row_number, concat('row ', n + 1) AS row_id, 'x' AS condition FROM range($rows) t(n)) "
        "TO $path (FORMAT parquet)",
        {"rows": count, "path": str(path)},
    )


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
    target, rows = tmp_path / "map.parquet", tmp_path / "rows.parquet"
    hashes = [sha256_hex(body.encode()) for body in bodies]
    asked = [(n // 3 + 1, n % 3 + 1) for n in range(len(bodies))]  # row and condition
    store_rows(rows, len(bodies))
    with MapWriter(rows) as writer:
        writer.add([custom_id(*each, 1, "f" * 8).encode() for each in asked], [each.encode() for each in hashes])
        writer.place([(n + 1, 1, len(bodies[2 * n : 2 * n + 2])) for n in range((len(bodies) + 1) // 2)])
        finished = writer.finish(target, scope, endpoint)
    drawn: Counter[str] = Counter()
    expected = []
    for n, ((row, condition), hashed) in enumerate(zip(asked, hashes, strict=True)):
        drawn[hashed] += 1
        draw, name = drawn[hashed], custom_id(row, condition, 1, "f" * 8)
        key = request_key(scope, endpoint, hashed, draw)
        expected.append((name, row, f"row {row}", condition, 1, draw, key, n // 2 + 1, n % 2 + 1))
    assert duckdb.read_parquet(str(target)).fetchall() == expected
    assert (finished.requests, finished.distinct) == (len(bodies), len(set(bodies)))
    assert len({each[6] for each in expected}) == len(bodies)


@pytest.mark.parametrize("replicates", [1, 3])
@pytest.mark.parametrize("equal", [False, True])
def test_a_map_is_the_same_however_rows_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replicates: int, equal: bool
) -> None:
    """By their place where every row is asked equally often; else, and where there are many, by a join."""
    asked = [
        (row, condition, replicate) for row in range(1, 700) for condition in (2, 11) for replicate in
        range(1, replicates + 1)
    ]  # fmt: skip
    hashes = [sha256_hex(f"{row % 50 if equal else row} {condition}".encode()) for row, condition, _ in asked]
    store_rows(tmp_path / "rows.parquet", 699)
    found = []
    for each, at_once in ((2 * replicates, len(asked)), (2 * replicates, len(asked) - 1), (None, len(asked))):
        monkeypatch.setattr(first_map, "_AT_ONCE", at_once)
        with MapWriter(tmp_path / "rows.parquet", replicates=replicates, each=each) as writer:
            for part in (slice(0, 500), slice(500, None)):
                names = [custom_id(*one, "f" * 8).encode() for one in asked[part]]
                writer.add(names, [one.encode() for one in hashes[part]])
            writer.place([(1, 1, 600), (2, 1, len(asked) - 600)])
            assert writer.finish(tmp_path / "map.parquet", "s", "e").distinct == len(set(hashes))
        found.append(duckdb.execute("SELECT * FROM read_parquet(?)", [str(tmp_path / "map.parquet")]).fetchall())
    assert found[0] == found[1] == found[2]
    assert [row[0] for row in found[0]] == [custom_id(*one, "f" * 8) for one in asked]


def test_a_map_of_files_that_are_filled_by_turns_is_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with two models; and the places do not pile up in memory."""
    monkeypatch.setattr(first_map, "_SPANS_AT_ONCE", 5)
    rows = 20
    store_rows(tmp_path / "rows.parquet", rows)
    asked = [(row, condition) for row in range(1, rows + 1) for condition in (1, 2)]
    expected = sorted((condition, row, f"row {row}", custom_id(row, condition, 1, "f" * 8)) for row, condition in asked)
    for each in (2, None):
        with MapWriter(tmp_path / "rows.parquet", each=each) as writer:
            for row, condition in asked:
                hashed = sha256_hex(f"{row} {condition}".encode())
                writer.add([custom_id(row, condition, 1, "f" * 8).encode()], [hashed.encode()])
                writer.place([(condition, row, 1)])
                assert len(writer._spans) < 5
            writer.finish(tmp_path / "map.parquet", "s", "e")
        found = duckdb.read_parquet(str(tmp_path / "map.parquet")).select("shard", "line", "row_id", "custom_id")
        assert found.fetchall() == expected


@pytest.mark.slow
def test_many_requests_with_equal_prompts_are_mapped_within_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, with half of the memory that a map has: one query for all does not fit into it."""
    many, part = 1_000_000, 2_000
    monkeypatch.setattr(first_map, "_AT_ONCE", many - 1)
    store_rows(tmp_path / "rows.parquet", many)
    with MapWriter(tmp_path / "rows.parquet", each=1) as writer:
        writer._con.execute("SET memory_limit = '128MB'")
        for start in range(0, many, part):
            numbers = range(start + 1, start + part + 1)
            hashes = [sha256_hex(b"%d" % (number // 2)).encode() for number in numbers]
            writer.add([custom_id(number, 1, 1, "f" * 8).encode() for number in numbers], hashes)
            writer.place([(start // 50_000 + 1, start % 50_000 + 1, part)])
        assert writer.finish(tmp_path / "map.parquet", "s", "e") == Finished(many, many // 2 + 1)


def test_requests_that_were_not_placed_are_no_map(tmp_path: Path) -> None:
    store_rows(tmp_path / "rows.parquet", 1)
    with MapWriter(tmp_path / "rows.parquet") as writer:
        writer.add([b"0000001-1-1-ffffffff"], [b"0" * 64])
        with pytest.raises(AssertionError):
            writer.finish(tmp_path / "map.parquet", "s", "e")


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
