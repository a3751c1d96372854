"""Conditions in SQL decide who is asked: one expression over one row, judged the same for ever."""

import pytest

from batchflow.sources.selection import BadCondition, Rules, check

ROW = ["word", "number", "today", "c"]


def rules(*where: str, exclude: tuple[str, ...] = ()) -> Rules:
    return Rules(
        columns=ROW, factors={"frame": "VARCHAR", "price": "DOUBLE"}, conditions={}, where=where, exclude=exclude
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("random() < 0.5", "random() gives another value each time"),
        ('"random"() < 0.5', "random() gives another value each time"),
        ("random/**/() < 0.5", "random() gives another value each time"),
        ("today() > '2000-01-01'", "today() gives another value each time"),
        ("current_date > '2000-01-01'", "current_date gives another value each time"),
        ("age(timestamp '2000-01-01') > interval 1 day", "age() gives another value each time"),
        ("(SELECT count(*) FROM d) > 5", "a subquery looks at other rows"),
        ("EXISTS (FROM 'rows.csv')", "a subquery looks at other rows"),
        ("word IN (SELECT content FROM read_text('/etc/passwd'))", "a subquery looks at other rows"),
        ("1) OR (1=1", "syntax error"),
        ("true) AS BOOLEAN), false) OR coalesce(CAST((true", "syntax error"),
        ("'; DROP TABLE d; --", "unterminated string"),
        ("true; DROP TABLE d", "syntax error"),
        ("true ORDER BY 1", "syntax error"),
        ("nobody = 1", "nobody"),
        ("count(*) > 1", "aggregates"),
        ("row_number() OVER () > 1", "window functions"),
        ("getenv('HOME') <> ''", "getenv does not exist"),
        ("c.number = 1", "number"),
    ],
)
def test_what_is_no_lasting_condition_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadCondition) as caught:
        check(rules("true", exclude=(text,)))
    assert words in caught.value.cause
    assert caught.value.position == 1
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "word = 'today'", "word LIKE '%random (really)%'", "today > '2000'", "number = '3' AND c <> frame",
        "price > 2 -- a comment", "age(timestamp '2020-01-01', timestamp '2000-01-01') > interval 1 day",
    ],
)  # fmt: skip
def test_words_in_texts_and_names_of_columns_are_nothing_else(text: str) -> None:
    check(rules(text))
