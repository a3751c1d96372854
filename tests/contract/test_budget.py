"""The budget: what could cost more is not sent, at first and later; what was bought is fetched all the same."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.harness import Study

Make = Callable[..., Study]
CAPPED = {"model": "gpt-4o-mini", "max_tokens": 100}  # at most about $0.00004 a request


def asking(make_study: Make, max_usd: float, parameters: dict[str, Any] = CAPPED, **options: Any) -> Study:
    study = make_study(rows=6, per_shard=2, **options)
    study.change(parameters=parameters, budget={"max_usd": max_usd})
    return study


def creates(study: Study) -> int:
    calls = study.server.audit()["calls"]
    return int(calls.get("POST /v1/batches", 0)) + int(calls.get("POST /v1/files", 0))


@pytest.mark.parametrize(
    ("parameters", "max_usd", "words"),
    [
        (CAPPED, 0.0001, "more than budget.max_usd, 0.0001"),
        ({"model": "gpt-4o-mini"}, 100, "nothing caps the answers"),
        ({"model": "my-own", "max_tokens": 5}, 100, "no price of my-own is known"),
    ],
)
def test_what_could_cost_too_much_is_not_sent(
    parameters: dict[str, Any], max_usd: float, words: str, make_study: Make
) -> None:
    study = asking(make_study, max_usd, parameters)
    ended = study.run()
    assert ended.status == 8
    assert "error[over-budget]" in ended.stderr
    assert words in ended.stderr
    assert "hint: " in ended.stderr
    assert creates(study) == 0


def test_a_plan_says_whether_the_budget_allows_it(make_study: Make) -> None:
    study = make_study()
    study.change(parameters={"model": "gpt-4o", "max_completion_tokens": 1000}, budget={"max_usd": 0.001})
    said = study.run("plan", "experiment.yaml")
    assert said.status == 0
    assert "note: `run` would send nothing: what is to be sent could cost up to $" in said.stderr
    study.change(budget={"max_usd": 5})
    assert "note: within the budget of $5.00 for this run" in study.run("plan", "experiment.yaml").stderr


def test_within_the_budget_all_is_sent(make_study: Make) -> None:
    assert asking(make_study, 0.001).run().status == 0


def test_what_nobody_knows_may_be_assumed(make_study: Make) -> None:
    study = asking(make_study, 1, {"model": "my-own"})
    study.change(budget={"max_usd": 1, "assume_usd_per_request": 0.1})
    assert study.run().status == 0
    study.change(budget={"max_usd": 0.5, "assume_usd_per_request": 0.1})
    assert study.run("run", "experiment.yaml", "--yes", "--json", "--fresh").status == 8


def test_a_later_round_that_could_cost_too_much_is_not_sent(make_study: Make) -> None:
    lost: dict[str, Any] = {"fault": "row_error", "rows": [1], "status": 500, "code": "server_error", "batch": 1}
    study = asking(make_study, 1, faults=[lost], rounds=1)
    spent = study.run().json()["cost_usd"]
    before = creates(study)
    study.change(retry={"max_rounds": 2}, budget={"max_usd": spent * 1.01})
    ended = study.run()
    assert ended.status == 8
    assert creates(study) == before
    study.change(budget={"max_usd": spent * 10})
    assert study.run().status == 0


def test_a_later_batch_that_could_cost_too_much_is_not_sent_and_the_answers_are_there(make_study: Make) -> None:
    study = asking(make_study, 1, in_flight=1, delay=0.5)
    assert study.run("run", "experiment.yaml", "--yes", "--no-wait", "--json").status == 5
    bound = study.run("plan", "experiment.yaml", "--json").json()["cost"]["bound_usd"]
    study.change(budget={"max_usd": bound / 3})  # what the first of three batches may cost
    ended = study.run()
    assert ended.status == 8
    assert "error[over-budget]" in ended.stderr
    assert study.query("SELECT count(*) FROM results WHERE outcome = 'answered'") == [(2,)]
    assert study.server.audit()["calls"]["POST /v1/batches"] == 1
    study.change(budget={"max_usd": bound})
    assert study.run().status == 0
    assert study.query("SELECT count(*) FROM results WHERE outcome = 'answered'") == [(6,)]


def test_a_repetition_that_could_cost_too_much_is_not_sent(make_study: Make) -> None:
    study = asking(make_study, 1, faults=[{"fault": "row_outcome", "rows": [1], "outcome": "refusal", "batch": 1}])
    assert study.run().status == 4
    before = creates(study)
    study.change(budget={"max_usd": 0.00002})
    ended = study.run("retry", "experiment.yaml", "--outcome", "refused", "--yes")
    assert ended.status == 8
    assert creates(study) == before


def test_simulated_answers_need_no_budget(make_study: Make) -> None:
    study = asking(make_study, 0, {"model": "my-own"})
    assert study.run("run", "experiment.yaml", "--provider", "local", "--json").status == 0
