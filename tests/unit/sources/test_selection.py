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


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("number > 30", "cells are text: write number::int > 30"),
        ("price > 1 AND word>=-3.5", "cells are text: make numbers of them, e.g. age::int > 30"),
        ("word::int > 3 AND number <= -2.50", "cells are text: write number::double <= -2.50"),
        ('"word" < 3', 'cells are text: write "word"::int < 3'),
        ("30 < number", "cells are text: make numbers of them, e.g. age::int > 30"),
        ("number BETWEEN 1 AND 3", "cells are text: make numbers of them, e.g. age::int > 30"),
        ("number + 1 > price", "cells are text: make numbers of them, e.g. age::int > 30"),
        ("nobody > 30", "correct the condition; the names are those of columns and factors: word, number, today, c"),
    ],
)
def test_a_cell_that_is_compared_with_a_number_is_said_to_be_text(text: str, remedy: str) -> None:
    with pytest.raises(BadCondition) as caught:
        check(rules(text))
    assert caught.value.remedy.startswith(remedy)
    assert "Error" not in caught.value.cause
