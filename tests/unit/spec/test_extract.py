"""Columns out of free answers."""

import time

import pytest
from pydantic_core import PydanticCustomError

from batchflow.spec.extract import SEARCHED, check_pattern, extractor


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"Score: (\d+)", "Score: 7, Score: 8", "7"),
        (r"\d+", "I give 5 of 7", "5"),
        (r"(?i)choice:\s*(\w+)", "CHOICE: café", "café"),
        (r"(a)|b", "b", None),
        (r"x", "y", None),
        (r"(?<=is )\w+", "it is so", "so"),
        ("$.a", '{"a": "x"}', "x"),
        ("$.a.b[0]", '{"a": {"b": [1.50, 2]}}', "1.50"),
        ("$.a[-1]", '{"a": [1, true]}', "true"),
        ('$["a b"].c', '{"a b": {"c": null}}', None),
        ("$['a.b']", '{"a.b": {"z": 1, "a": [2]}}', '{"z":1,"a":[2]}'),
        ("$", "[1]", "[1]"),
        ("$.a", "no JSON", None),
        ("$.a", "[1]", None),
        ("$[0]", '{"a": 1}', None),
        ("$[5]", "[1]", None),
        ("$.a", 'Here it is:\n```json\n{"a": 1}\n```\nAnything else?', "1"),
        ("$.a", '{"a": NaN}', None),
        ("$.a", "[" * 100_000, None),
        ("$.a", '{"a": ' + "9" * 5000 + "}", "9" * 5000),
    ],
)
def test_found(pattern: str, text: str, found: str | None) -> None:
    assert extractor(check_pattern(pattern))(text) == found


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a*)*b", "(?:a|bb)+", "((ab)*c)*", "(a{1,50})+", "(?:(?:x+)y?)*z", "(?P<n>(a|b*)+)", "(?=(a+)+)"],
)
def test_what_may_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(PydanticCustomError):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["[a-z ]+", "(a|b)+", r"(\w+)\s+(\w+)", "(?:ab)?c+", r"(yes|no)\b", "(?:a{2,3})+x", "(?>a+)+", "(?:a++b)*", "^.*$"],
)
def test_what_comes_to_an_end_is_taken(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["", "(", "$.", "$..a", "$.a[", "$.a[x]", "$ .a", "$.a b", "a" * 1001, "(?P<1>a)"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PydanticCustomError):
        check_pattern(pattern)


def test_only_the_beginning_of_a_long_answer_is_searched() -> None:
    began = time.monotonic()
    assert extractor("b")("a" * SEARCHED + "b") is None
    assert extractor("a(b)")("a" * 5_000_000) is None
    assert time.monotonic() - began < 5
