"""Factors crossed to conditions: their numbers, texts and types; and who gets which."""

from collections import Counter
from typing import Any

import pytest

from batchflow.design.assignment import pick
from batchflow.design.conditions import Factor, Level, as_text, cross
from batchflow.identity import JsonNumber


def factor(name: str, *values: Any) -> Factor:
    return Factor(name, tuple(Level(as_text(value), value) for value in values))


def test_without_factors_there_is_one_condition() -> None:
    assert [(each.number, each.text) for each in cross([])] == [(1, "")]


def test_the_last_factor_varies_fastest() -> None:
    conditions = cross([factor("temperature", 0, JsonNumber("0.50")), factor("model", "gpt-4o", "gpt-5")])
    assert [each.text for each in conditions] == [
        "temperature=0,model=gpt-4o", "temperature=0,model=gpt-5",
        "temperature=0.50,model=gpt-4o", "temperature=0.50,model=gpt-5",
    ]  # fmt: skip
    assert [each.number for each in conditions] == [1, 2, 3, 4]


def test_zipped_factors_vary_together() -> None:
    factors = [factor("a", 1, 2), factor("b", "x", "y"), factor("c", True, False)]
    texts = [each.text for each in cross(factors, [["a", "c"]])]
    assert texts == ["a=1,b=x,c=true", "a=1,b=y,c=true", "a=2,b=x,c=false", "a=2,b=y,c=false"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a, b", 'f="a, b"'),
        ("a=b", 'f="a=b"'),
        ("", 'f=""'),
        (" a", 'f=" a"'),
        ('"a"', 'f="\\"a\\""'),
        ("a\nb", 'f="a\\nb"'),
        ("two words", "f=two words"),
        (None, "f=null"),
        ([1, 2], 'f="[1,2]"'),
        ("ä→", "f=ä→"),
    ],
)
def test_what_could_be_misread_stands_in_quotes(value: Any, text: str) -> None:
    assert cross([factor("f", value)])[0].text == text


def test_long_levels_are_cut_and_stay_apart() -> None:
    texts = [each.text for each in cross([factor("f", "x" * 200, "x" * 201)])]
    assert texts[0] != texts[1]
    assert all(len(text) < 90 for text in texts)


@pytest.mark.parametrize(
    ("values", "kind", "cells"),
    [
        ((0, 1), "BIGINT", [0, 1]),
        ((0, JsonNumber("1.5")), "DOUBLE", [0.0, 1.5]),
        ((2**63, 1), "DOUBLE", [float(2**63), 1.0]),
        ((True, False), "BOOLEAN", [True, False]),
        ((True, 0), "VARCHAR", ["true", "0"]),
        (("a", 1), "VARCHAR", ["a", "1"]),
        ((None, 1), "BIGINT", [None, 1]),
        ((None,), "VARCHAR", [None]),
        (({"a": 1}, "x"), "VARCHAR", ['{"a":1}', "x"]),
    ],
)
def test_types(values: tuple[Any, ...], kind: str, cells: list[Any]) -> None:
    made = factor("f", *values)
    assert made.type == kind
    assert [made.cell(level) for level in made.levels] == cells


def test_labels_are_what_tables_show() -> None:
    labelled = Factor("frame", (Level("gain", "You win"), Level("loss", None)), labelled=True)
    assert labelled.type == "VARCHAR"
    assert [labelled.cell(level) for level in labelled.levels] == ["gain", "loss"]
    assert [each.text for each in cross([labelled])] == ["frame=gain", "frame=loss"]


def test_rows_keep_their_condition_and_conditions_are_about_equal() -> None:
    conditions = cross([factor("a", *range(4))])
    chosen = {str(row): pick(7, str(row), conditions) for row in range(4000)}
    counts = Counter(each.number for each in chosen.values() if each)
    assert all(900 < count < 1100 for count in counts.values()), counts
    # one more condition takes rows over from the others, and changes nothing else
    more = cross([factor("a", *range(5))])
    for row, before in chosen.items():
        after = pick(7, row, more)
        assert before is not None
        assert after is not None
        assert after.text in {before.text, "a=4"}
    assert pick(8, "1", conditions) in conditions
    assert pick(7, "1", []) is None


def test_the_assignment_is_the_same_for_ever() -> None:
    conditions = cross([factor("frame", "gain", "loss"), factor("price", 1, 2, 3)])
    chosen = [pick(0, row, conditions) for row in ("r-01", "r-02", "Zoë", "")]
    assert [each.text for each in chosen if each] == PINNED


PINNED = ["frame=loss,price=1", "frame=loss,price=3", "frame=loss,price=1", "frame=gain,price=1"]
