"""Money: what answers have cost is the same for the rows, the run and its tables; taken over costs nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.harness import Study

Make = Callable[..., Study]
SUM = "SELECT coalesce(sum(cost_usd), 0) FROM responses"
MODEL = "gpt-4o-mini"
IN, OUT = 0.075e-6, 0.3e-6  # of a batch with it, in genai-prices


def asking(make_study: Make, parameters: dict[str, Any], **options: Any) -> Study:
    study = make_study(**options)
    study.change(parameters=parameters)
    return study


def cost(study: Study, sql: str = SUM) -> float:
    ((found,),) = study.query(sql)
    return float(found)


def test_the_run_costs_what_its_rows_cost_and_says_so_everywhere(make_study: Make) -> None:
    study = asking(make_study, {"model": MODEL})
    ended = study.run()
    record = ended.json()
    ((prompt, completion),) = study.query("SELECT sum(prompt_tokens), sum(completion_tokens) FROM results")
    assert record["cost_usd"] == pytest.approx(prompt * IN + completion * OUT)
    assert record["usage"] == {
        "unpriced": 0, "prompt_tokens": prompt, "completion_tokens": completion,
        "batches_prompt_tokens": prompt, "batches_completion_tokens": completion,
    }  # fmt: skip
    assert cost(study) == pytest.approx(record["cost_usd"])
    assert cost(study, "SELECT sum(cost_usd) FROM results") == pytest.approx(record["cost_usd"])
    assert cost(study, "SELECT cost_usd FROM runs") == pytest.approx(record["cost_usd"])
    assert "by the usage that the answers tell" in ended.stderr
    assert study.run("status", "experiment.yaml", "--json").json()["cost_usd"] == record["cost_usd"]
    assert "Cost so far: $" in study.run("status", "experiment.yaml").stdout
    (listed,) = study.run("runs", ".", "--json").json()["runs"]
    assert listed["cost_usd"] == pytest.approx(record["cost_usd"])
    before = study.query("SELECT custom_id, cost_usd FROM responses ORDER BY ALL")
    (study.folder / "results.duckdb").unlink()
    assert study.run("load", str(study.run_folder), "--rebuild").status == 0
    assert study.query("SELECT custom_id, cost_usd FROM responses ORDER BY ALL") == before


def test_what_is_asked_again_is_paid_again(make_study: Make) -> None:
    refused: dict[str, Any] = {"fault": "row_outcome", "rows": [1], "outcome": "refusal", "batch": 1}
    study = asking(make_study, {"model": MODEL}, faults=[refused])
    first = study.run().json()["cost_usd"]
    again = study.run("retry", "experiment.yaml", "--yes", "--json", "--outcome", "refused").json()
    assert again["cost_usd"] > first
    assert again["cost_usd"] == pytest.approx(cost(study)) == pytest.approx(cost(study, "SELECT cost_usd FROM runs"))
    assert cost(study, "SELECT sum(cost_usd) FROM results") < again["cost_usd"]  # only what stands


def test_what_was_taken_over_costs_nothing_again(make_study: Make) -> None:
    study = asking(make_study, {"model": MODEL})
    assert study.run().json()["cost_usd"] > 0
    study.change(description="x", retry={"max_rounds": 2})
    with (study.folder / "rows.csv").open("a") as table:
        table.write("99,a diver\n")
    record = study.run().json()
    assert (record["requests"]["reused"], record["requests"]["total"]) == (study.rows, study.rows + 1)
    costs = dict(study.query("SELECT run_id, cost_usd FROM runs"))
    assert record["cost_usd"] == pytest.approx(costs[record["run"]])
    bought = dict(study.query("SELECT run_id, count(*) FROM responses WHERE cost_usd > 0 GROUP BY ALL"))
    assert sorted(bought.values()) == [1, study.rows]
    assert bought[record["run"]] == 1


def shown(study: Study, *named: str) -> tuple[dict[str, Any], str]:
    """The only answer that `show` has, as --json and for people."""
    ended = study.run("show", *named, "--json")
    assert ended.status == 0, ended.stderr
    (answer,) = ended.json()["responses"]
    return answer, study.run("show", *named).stdout


def test_one_answer_says_what_it_has_cost(make_study: Make) -> None:
    study = asking(make_study, {"model": MODEL})
    first = study.run().json()["run"]
    answer, text = shown(study, "3", "experiment.yaml")
    ((*counted, paid),) = study.query(
        "SELECT prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, total_tokens, cost_usd FROM results "
        "WHERE row_id = '3'"
    )
    names = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")
    assert [answer[name] for name in names] == counted
    assert answer["cost_usd"] == pytest.approx(paid)
    assert answer["cost_usd"] == pytest.approx(answer["prompt_tokens"] * IN + answer["completion_tokens"] * OUT)
    assert f"tokens: {answer['prompt_tokens']} input, {answer['completion_tokens']} output\n" in text
    assert "cost: $0.0000" in text
    # taken over by another run, which does not pay again
    with (study.folder / "rows.csv").open("a") as table:
        table.write("99,a diver\n")
    again = study.run().json()["run"]
    taken, text = shown(study, "3", again)
    assert (taken["cost_usd"], taken["taken_from"]) == (0, first)
    assert taken["prompt_tokens"] == answer["prompt_tokens"]
    assert f"cost: $0, bought by the run {first}\n" in text
    assert shown(study, "99", again)[0]["cost_usd"] > 0


def test_an_answer_that_serves_several_requests_is_paid_once(make_study: Make) -> None:
    study = asking(make_study, {"model": MODEL}, texts=["tea", "tea"])
    study.change(duplicates="share")
    record = study.run().json()
    assert shown(study, "1", record["run"])[0]["cost_usd"] == pytest.approx(record["cost_usd"])
    answer, text = shown(study, "2", record["run"])
    assert answer["cost_usd"] == 0
    assert "cost: $0, paid with the request 0000001-1-1-" in text


def test_a_model_without_a_price_costs_nobody_knows_what(make_study: Make) -> None:
    study = asking(make_study, {"model": "my-own"})
    ended = study.run()
    assert ended.json()["cost_usd"] is None
    assert ended.json()["usage"]["unpriced"] == study.rows
    assert study.query("SELECT cost_usd FROM runs") == [(None,)]
    assert f"not in it: {study.rows} answers" in ended.stderr
    answer, text = shown(study, "1", "experiment.yaml")
    assert answer["cost_usd"] is None
    assert "cost: not known, there was no price\n" in text
    study.change(prices={"my-own": {"input": 1, "output": 2}})
    later = study.run("run", "experiment.yaml", "--yes", "--json", "--fresh").json()
    assert later["cost_usd"] == pytest.approx(
        later["usage"]["prompt_tokens"] * 1e-6 + later["usage"]["completion_tokens"] * 2e-6
    )


def test_simulated_answers_cost_nothing(make_study: Make) -> None:
    study = make_study()
    ended = study.run("run", "experiment.yaml", "--provider", "local", "--json")
    assert ended.json()["cost_usd"] == 0
    assert study.query("SELECT DISTINCT cost_usd FROM results") == [(0.0,)]
