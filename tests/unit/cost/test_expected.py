"""What is expected of requests to come: right on average, within its intervals as often as it says, silent where too
little was seen.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchflow.cost.expected import FEWEST, Expected, Observed, expect
from batchflow.cost.tally import Group

IN, OUT = 1e-6, 4e-6


def seen(row: int, *, condition: int = 1, weighed: int = 100, completion: int = 50, **facts: object) -> Observed:
    told: dict[str, object] = {"model": "m", "outcome": "answered", "prompt": weighed * 2} | facts
    prompt = told.pop("prompt")
    assert prompt is None or isinstance(prompt, int)
    paid = None if prompt is None else prompt * IN, None if prompt is None else completion * OUT
    return Observed(row, condition, weighed=weighed, prompt=prompt, completion=completion, input_usd=paid[0],
                    output_usd=paid[1], **told)  # type: ignore[arg-type] # fmt: skip


def to_come(observed: Sequence[Observed]) -> list[Group]:
    """The groups of requests, known by their weights alone."""
    return [Group(1, each.condition, each.model, requests=1, tokens=each.weighed) for each in observed]


def judged(observed: Sequence[Observed], rest: Sequence[Observed]) -> Expected:
    found = expect(to_come(rest), observed, ["refused"])
    assert found is not None
    return found


def test_rows_like_the_rest_are_met_exactly() -> None:
    found = judged([seen(row) for row in range(10)], [seen(row) for row in range(100)])
    assert (found.rows, found.answers, found.pooled) == (10, 10, False)
    assert found.input_tokens.estimate == pytest.approx(100 * 200, rel=0.01)
    assert found.output_tokens.estimate == pytest.approx(100 * 50)
    assert found.usd is not None
    assert found.usd.estimate == pytest.approx(100 * (200 * IN + 50 * OUT), rel=0.01)
    assert found.output_tokens.low == pytest.approx(found.output_tokens.high), "nothing varies"


def test_input_goes_by_its_weight_and_output_by_the_request() -> None:
    found = judged([seen(row, weighed=100) for row in range(10)], [seen(row, weighed=300) for row in range(10)])
    assert found.input_tokens.estimate == pytest.approx(10 * 600, rel=0.02)
    assert found.output_tokens.estimate == pytest.approx(10 * 50)


def population(random_: random.Random, rows: int, conditions: int) -> list[list[Observed]]:
    """Rows whose answers are long or short together, with a long tail; some are refused."""
    found = []
    for row in range(rows):
        length = random_.lognormvariate(4, 0.5)
        found.append(
            [
                seen(
                    row,
                    condition=condition,
                    weighed=int(length),
                    prompt=int(length * random_.uniform(1.2, 1.6)) + 7,
                    completion=int(length * random_.lognormvariate(0, 0.4) * condition),
                    outcome="refused" if random_.random() < 0.05 else "answered",
                )
                for condition in range(1, conditions + 1)
            ]
        )
    return found


@pytest.mark.parametrize(
    ("conditions", "drawn"),
    [(1, 20), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((1, 100), (1, 570))), (4, 20)],
)
def test_intervals_hold_as_often_as_they_say(conditions: int, drawn: int) -> None:
    """Fails with one interval fewer than 90 of 100 for any quantity: 95 of 100 are promised."""
    random_ = random.Random(11)
    held = dict.fromkeys(("input", "output", "usd", "refused"), 0)
    for _ in range(200):
        rows = population(random_, 600, conditions)
        random_.shuffle(rows)
        pilot = [each for row in rows[:drawn] for each in row]
        rest = [each for row in rows[drawn:] for each in row]
        found = judged(pilot, rest)
        assert found.usd is not None
        actual = {
            "input": (found.input_tokens, sum(each.prompt or 0 for each in rest)),
            "output": (found.output_tokens, sum(each.completion or 0 for each in rest)),
            "usd": (found.usd, sum((each.input_usd or 0) + (each.output_usd or 0) for each in rest)),
            "refused": (found.outcomes["refused"], sum(each.outcome == "refused" for each in rest)),
        }
        for name, (interval, comes) in actual.items():
            held[name] += interval.low <= comes <= interval.high
    assert all(count >= 180 for count in held.values()), held
    assert held["usd"] < 200 or drawn > 20, "an interval that always holds says nothing"


def test_answers_of_one_row_count_as_one_piece_of_news() -> None:
    """Four equal answers to each of ten rows tell no more than one to each of them."""
    random_ = random.Random(5)
    once = [seen(row, completion=random_.randint(10, 90)) for row in range(10)]
    often = [replace(each, condition=condition) for each in once for condition in range(1, 5)]
    alone = judged(once, [seen(row) for row in range(100)]).output_tokens
    together = judged(often, [seen(row, condition=c) for row in range(100) for c in range(1, 5)]).output_tokens
    assert together.high / together.estimate == pytest.approx(alone.high / alone.estimate)


def test_conditions_are_judged_apart_where_each_has_answers() -> None:
    observed = [seen(row, condition=c, completion=100 * c + row) for row in range(6) for c in (1, 2)]
    rest = [seen(row, condition=2) for row in range(10)]
    found = judged(observed, rest)
    assert not found.pooled
    assert found.output_tokens.estimate == pytest.approx(10 * 202.5)
    fewer = judged([each for each in observed if each.condition == 1 or each.row < 2], rest)
    assert fewer.pooled


def test_a_model_that_nobody_has_heard_is_not_judged_by_another() -> None:
    observed = [seen(row) for row in range(20)]
    assert expect(to_come([seen(1, model="other")]), observed) is None
    assert expect(to_come([seen(1), seen(2, model="other")]), observed) is None


def test_too_few_rows_say_nothing() -> None:
    few = [seen(row % (FEWEST - 1)) for row in range(20)]
    assert expect(to_come([seen(1)]), few) is None
    assert expect(to_come([seen(1)]), [*few, seen(FEWEST)]) is not None
    assert expect([], [seen(row) for row in range(20)]) is None
    assert expect(to_come([seen(1)]), [seen(row, prompt=None) for row in range(20)]) is None


@pytest.mark.parametrize("told", [True, False])
def test_answers_without_usage_leave_errors_no_more_weight(told: bool) -> None:
    """Errors always tell what they cost, which is nothing: a bill must not be judged by them alone."""
    errors = [seen(row, outcome="error", prompt=0, completion=0) for row in range(10, 20)]
    rest = [seen(row) for row in range(1000)]
    silent = [seen(row, prompt=None) for row in range(10)]
    assert expect(to_come(rest), [*errors, *silent]) is None
    some = [seen(row + 20) for row in range(5)]
    found = judged([*errors, *(some if told else [*silent, *some])], rest)
    assert found.output_tokens.estimate == pytest.approx(1000 * 50 * (5 / 15 if told else 1))
    assert found.outcomes["error"].estimate == round(1000 * 10 / (15 if told else 25))


def test_errors_alone_are_no_forecast_of_a_bill() -> None:
    errors = [seen(row, outcome="error", prompt=0, completion=0) for row in range(20)]
    assert expect(to_come([seen(1)]), errors) is None
    four = [seen(row) for row in range(20, 20 + FEWEST - 1)]
    assert expect(to_come([seen(1)]), [*errors, *four]) is None
    assert expect(to_come([seen(1)]), [*errors, *four, seen(50)]) is not None


def test_none_of_twenty_refused_leaves_room_for_some() -> None:
    found = judged([seen(row) for row in range(20)], [seen(row) for row in range(980)]).outcomes["refused"]
    assert (found.estimate, found.low) == (0, 0)
    assert 100 < found.high < 200, "about 16 of 100, as by Wilson"
    four = judged(
        [seen(row, condition=c) for row in range(20) for c in range(1, 5)],
        [seen(row, condition=c) for row in range(980) for c in range(1, 5)],
    )
    share = four.outcomes["refused"].high / (4 * 980)
    assert share == pytest.approx(found.high / 980, abs=0.005), "rows that refuse may do so under every condition"


@given(
    st.lists(
        st.builds(
            seen,
            st.integers(0, 8),
            condition=st.integers(1, 3),
            weighed=st.integers(0, 50),
            completion=st.integers(0, 300),
            outcome=st.sampled_from(["answered", "refused", "invalid", "error"]),
        ),
        max_size=60,
    ),
    st.lists(st.builds(seen, st.integers(0, 99), condition=st.integers(1, 4), weighed=st.integers(0, 50)), max_size=20),
)
def test_an_interval_holds_its_estimate_and_counts_stay_possible(
    observed: list[Observed], rest: list[Observed]
) -> None:
    found = expect(to_come(rest), observed, ["refused"])
    if found is None:
        return
    assert found.usd is not None
    for each in (found.input_tokens, found.output_tokens, found.usd):
        assert 0 <= each.low <= each.estimate * (1 + 1e-9) <= each.high * (1 + 1e-9) + 1e-12
        assert math.isfinite(each.high)
    for each in found.outcomes.values():
        assert 0 <= each.low <= each.high <= len(rest)
        assert each.low - 1 <= each.estimate <= each.high + 1


def test_conditions_judged_as_the_whole_add_up_to_it() -> None:
    observed = [seen(row, condition=1, completion=10 + row) for row in range(20)]
    observed += [seen(row, condition=2, completion=90 + row) for row in range(3)]  # too few of their own
    rest = [seen(row, condition=c) for row in range(100) for c in (1, 2)]
    whole = judged(observed, rest)
    assert whole.pooled
    parts = [
        expect(to_come([each for each in rest if each.condition == c]), observed, pooled=whole.pooled) for c in (1, 2)
    ]
    assert all(part is not None and part.usd is not None for part in parts)
    assert whole.usd is not None
    assert sum(part.usd.estimate for part in parts if part and part.usd) == pytest.approx(whole.usd.estimate)
