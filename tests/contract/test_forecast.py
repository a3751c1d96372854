"""Forecasts: what a pilot makes likely is what the rest costs; an edit is shown with its money before it is paid."""

import random
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.harness import Study

Make = Callable[..., Study]
MODEL = "gpt-4o-mini"
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "near", "an", "old", "river", "bank"]
COST = "SELECT row_id, cost_usd, prompt_tokens, completion_tokens, outcome FROM results"


def plan(study: Study) -> dict[str, Any]:
    return study.run("plan", "experiment.yaml", "--json").json()


@pytest.mark.parametrize(("count", "least"), [(5, 4), pytest.param(20, 18, marks=pytest.mark.slow)])
def test_the_forecast_of_a_pilot_holds_what_the_rest_costs(make_study: Make, count: int, least: int) -> None:
    """Pilots of 20 of 1,000 rows, each judged alone; 95 of 100 intervals are promised, 18 of 20 must hold."""
    random_ = random.Random(3)
    texts = [" ".join(random_.choices(WORDS, k=random_.randint(3, 80))) for _ in range(1000)]
    study = make_study(texts=texts, per_shard=500, settle="0.05s", delay=0.0)
    study.change(parameters={"model": MODEL, "max_completion_tokens": 500})
    pilots = []
    for seed in range(count):
        piloted = study.run("run", "experiment.yaml", "--yes", "--json", "--sample", "20", "--seed", str(seed))
        assert piloted.json()["requests"]["answered"] == 20
        planned = plan(study)
        assert (planned["to_ask"], planned["taken_over"]) == (980, 20)
        assert (planned["cost"]["expected"]["rows"], planned["cost"]["expected"]["answers"]) == (20, 20)
        pilots.append(({row for (row,) in study.query("SELECT row_id FROM results")}, planned["cost"]["expected"]))
        shutil.rmtree(study.folder / "runs")
        (study.folder / "results.duckdb").unlink()
    assert study.run("run", "experiment.yaml", "--yes", "--json", "--sample", "20", "--seed", "0").status == 0
    ended = study.run().json()
    assert ended["requests"] == {"total": 1000, "answered": 1000, "failed": 0, "owed": 0, "reused": 20}
    everything = study.query(COST.replace("cost_usd", "prompt_tokens * 0.075e-6 + completion_tokens * 0.3e-6"))
    held = dict.fromkeys(("usd", "input_tokens", "output_tokens", "refused"), 0)
    for drawn, expected in pilots:
        rest = [row for row in everything if row[0] not in drawn]
        assert len(rest) == 980
        actual = {name: sum(row[place] for row in rest) for place, name in enumerate(list(held)[:3], start=1)}
        actual["refused"] = sum(row[4] == "refused" for row in rest)
        for name, comes in actual.items():
            interval = expected.get(name) or expected["outcomes"][name]
            held[name] += interval["low"] <= comes <= interval["high"]
    assert all(times >= least for times in held.values()), held


def test_a_plan_shows_an_edit_with_its_money(make_study: Make) -> None:
    study = make_study(rows=24, per_shard=50)
    study.change(parameters={"model": MODEL, "max_completion_tokens": 300})
    paid = study.run().json()["cost_usd"]
    costs = {row: usd for row, usd, *_ in study.query(COST)}
    table = (study.folder / "rows.csv").read_text().splitlines()
    table[3] = table[3].replace("topic", "another topic")
    (study.folder / "rows.csv").write_text("\n".join([*table[:-2], "99,one more topic"]) + "\n")
    planned = plan(study)
    money = planned["compared"]["money"]
    assert {kind: (each["requests"], each["asked"]) for kind, each in money.items()} == {
        "same": (21, 0), "changed": (1, 1), "added": (1, 1), "gone": (2, 0),
    }  # fmt: skip
    mean = paid / 24
    assert {kind: each["paid_usd"] for kind, each in money.items()} == pytest.approx(
        {"same": 21 * mean, "changed": mean, "added": 0.0, "gone": 2 * mean}
    )
    assert money["same"]["usd"] == money["gone"]["usd"] == 0
    expected = planned["cost"]["expected"]["usd"]
    assert money["changed"]["expected"] is money["added"]["expected"] is True
    assert money["changed"]["usd"] + money["added"]["usd"] == pytest.approx(expected["estimate"], rel=1e-4)
    assert expected["low"] <= expected["estimate"] <= expected["high"] <= planned["cost"]["bound_usd"]
    said = study.run("plan", "experiment.yaml").stdout
    assert re.search(r"^changed +1 +1 +about \$\S+ +\$\S+$", said, re.MULTILINE)
    assert re.search(r"^gone +2 +0 +\$\S+$", said, re.MULTILINE)
    assert "Expected, judged by 21 answers to 21 rows" in said
    # what was taken over keeps its worth: the next edit is compared with what it had cost, not with nothing
    study.run()
    with (study.folder / "rows.csv").open("a") as handle:
        handle.write("100,a last topic\n")
    again = plan(study)["compared"]["money"]
    kept = [usd for row, usd in costs.items() if row in {line.split(",")[0] for line in table[1:-2]} and row != "3"]
    assert again["same"]["paid_usd"] == pytest.approx(sum(kept) + study.query(NEW)[0][0], rel=1e-6)


def test_files_taken_away_are_no_evidence_and_no_crash(make_study: Make) -> None:
    study = make_study(rows=24, per_shard=50)
    study.change(parameters={"model": MODEL, "max_completion_tokens": 300})
    study.run("run", "experiment.yaml", "--yes", "--sample", "20")
    planned = plan(study)
    assert planned["cost"]["expected"]["answers"] == 20
    for path in study.folder.glob("runs/*/requests/r0-*.jsonl"):
        path.write_text("not a request\n")
    for path in study.folder.glob("runs/*/requests/r1-*.jsonl"):
        if planned["run"] not in str(path):
            path.unlink()
    again = study.run("plan", "experiment.yaml", "--json")
    assert again.status == 0, again.stderr
    assert again.json()["cost"]["expected"] is None


NEW = "SELECT sum(cost_usd) FROM results WHERE row_id IN ('3', '99')"


def test_each_cell_of_a_design_has_its_cost(make_study: Make) -> None:
    study = make_study(rows=6, per_shard=50)
    study.change(
        parameters={"model": MODEL, "max_completion_tokens": 300},
        design={"factors": {"model": ["gpt-4o", "gpt-4o-mini"]}},
    )
    planned = plan(study)
    cells = {cell["condition"]: cell for cell in planned["design"]["cells"]}
    assert cells["model=gpt-4o"]["bound_usd"] > 10 * cells["model=gpt-4o-mini"]["bound_usd"]
    assert sum(cell["bound_usd"] for cell in cells.values()) == pytest.approx(planned["cost"]["bound_usd"], rel=1e-4)
    assert sum(cell["input_tokens"] for cell in cells.values()) == planned["cost"]["input_tokens"]
    assert {cell["expected_usd"] for cell in cells.values()} == {None}
    page = next(study.folder.glob("runs/*/REVIEW.md")).read_text()
    assert "## Cost" in page
    assert f"| requests that are paid for | {12} |" in page
    assert study.run().status == 0
    # one more row: judged by condition, each at the price of its model
    with (study.folder / "rows.csv").open("a") as handle:
        handle.write("7,topic\n")
    cells = {cell["condition"]: cell["expected_usd"] for cell in plan(study)["design"]["cells"]}
    assert cells["model=gpt-4o"]["estimate"] > 10 * cells["model=gpt-4o-mini"]["estimate"] > 0
    page = max(study.folder.glob("runs/*/REVIEW.md"), key=lambda path: path.stat().st_mtime).read_text()
    assert "**cost, expected**" in page
    assert "judged by | 12 answers to 6 rows" in page


def test_what_each_condition_has_cost(make_study: Make) -> None:
    study = make_study(rows=6, per_shard=5)
    study.change(parameters={"model": MODEL}, design={"factors": {"model": ["gpt-4o", MODEL], "temperature": [0, 1]}})
    record = study.run().json()
    told = {each["condition"]: each["cost_usd"] for each in record["conditions"]}
    by_rows = dict(study.query("SELECT condition, sum(cost_usd) FROM results GROUP BY condition"))
    assert len(told) == 4
    assert told == pytest.approx(by_rows)
    assert sum(told.values()) == pytest.approx(record["cost_usd"])
    said = study.run("status", "experiment.yaml").stdout
    assert re.search(r"^model=gpt-4o-mini,temperature=1 +[\d,]+ +[\d,]+ +\$0\.\d+$", said, re.MULTILINE)


def test_a_question_says_what_earlier_answers_make_likely(make_study: Make) -> None:
    study = make_study(rows=24, per_shard=50, faults=[{"fault": "row_outcome", "rows": [1], "outcome": "refusal"}])
    study.change(parameters={"model": MODEL})
    study.run()
    asked = study.run("retry", "experiment.yaml", "--yes", "--outcome", "refused").stderr
    assert "Judged by 24 answers before: about $" in asked


def test_a_simulated_plan_expects_what_openai_would_take(make_study: Make) -> None:
    study = make_study(rows=24, per_shard=50)
    study.change(provider={"name": "local", "settle": "0.05s"}, parameters={"model": MODEL})
    study.run("run", "experiment.yaml", "--sample", "10")
    cost = plan(study)["cost"]
    assert cost["expected"]["usd"] == {"estimate": 0, "low": 0, "high": 0}
    assert cost["real"]["expected"]["usd"]["estimate"] > 0
    page = max(study.folder.glob("runs/*/REVIEW.md"), key=lambda path: path.stat().st_mtime).read_text()
    assert "Nothing: the local provider answers" in page


def test_a_condition_that_lines_of_others_answer_costs_nothing_of_its_own(make_study: Make) -> None:
    study = make_study(rows=24, per_shard=50)
    same = "{{topic}} {{ '!' if tone == 'calm' else '!' }}"  # the prompts of both conditions are equal
    design = {"factors": {"tone": ["calm", "glad"]}}
    asks = {"prompt": {"user": f"Say {same}"}, "design": design, "duplicates": "share"}
    study.change(parameters={"model": MODEL, "max_completion_tokens": 300}, **asks)
    study.run()
    study.change(prompt={"user": f"Tell {same}"})
    planned = plan(study)
    money, bound = planned["compared"]["money"]["changed"], planned["cost"]["bound_usd"]
    assert (money["requests"], money["asked"], money["usd"]) == (48, 48, pytest.approx(bound))
    assert [cell["bound_usd"] for cell in planned["design"]["cells"]] == pytest.approx([bound, 0.0])


@pytest.mark.parametrize("factors", [{}, {"model": [MODEL, "gpt-4o"]}], ids=["one-model", "models"])
@pytest.mark.parametrize("left", [None, b"garbage\n"], ids=["gone", "spoilt"])
def test_request_files_of_an_old_run_hold_up_no_plan(left: bytes | None, factors: Any, make_study: Make) -> None:
    study = make_study(per_shard=50)
    study.change(
        parameters={"model": MODEL, "max_completion_tokens": 300}, design={"factors": factors} if factors else None
    )
    study.run()
    for path in study.run_folder.glob("requests/*.jsonl"):
        path.unlink()
        if left is not None:
            path.write_bytes(left)
    study.change(prompt={"user": "Tell {{topic}}"})
    changed = plan(study)["compared"]["money"]["changed"]
    assert changed["requests"] == 12 * len(factors.get("model", [MODEL]))
    assert (changed["paid_usd"] is None) == bool(factors)  # which file asked which model is not known any more
    assert "changed" in study.run("plan", "experiment.yaml").stdout
