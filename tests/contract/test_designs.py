"""What a design and reuse promise, through the real program: exact cells, models apart, nothing bought again."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.harness import Study
from tests.zygote import Ended

Make = Callable[..., Study]


def table(study: Study, rows: dict[str, str]) -> None:
    lines = "".join(f"{name},{text}\n" for name, text in rows.items())
    (study.folder / "rows.csv").write_text(f"id,topic\n{lines}")


def executed(study: Study) -> int:
    found: int = study.server.audit()["executions"]["rows"]
    return found


def ran(ended: Ended) -> dict[str, Any]:
    assert ended.status == 0, ended.stderr
    return ended.json()


def test_two_temperatures_three_models_two_replicates(make_study: Make) -> None:
    study = make_study(rows=10, per_shard=50)
    models = ["gpt-4o", "gpt-4o-mini", "gpt-5"]
    study.change(design={"factors": {"temperature": [0, 1], "model": models}, "replicates": 2})
    record = ran(study.run())
    assert (record["requests"]["total"], record["batches"]) == (120, 3)
    assert executed(study) == 120
    cells = study.query(
        "SELECT condition, temperature, model, typeof(temperature), count(*), count(DISTINCT row_id), max(replicate) "
        "FROM results GROUP BY ALL ORDER BY ALL"
    )
    assert cells == [
        (f"temperature={heat},model={model}", heat, model, "BIGINT", 20, 10, 2) for heat in (0, 1) for model in models
    ]
    order = study.query("SELECT row_number, replicate, temperature, model FROM results")
    assert order == [
        (row, rep, heat, model) for row in range(1, 11) for heat in (0, 1) for model in models for rep in (1, 2)
    ]
    for path in study.run_folder.glob("requests/*.jsonl"):
        assert len({json.loads(line)["body"]["model"] for line in path.read_text().splitlines()}) == 1
    # the asked model of every request is what its line says
    ids = dict(study.query("SELECT custom_id, model FROM results"))
    for path in study.run_folder.glob("requests/*.jsonl"):
        for request in map(json.loads, path.read_text().splitlines()):
            assert ids[request["custom_id"]] == request["body"]["model"]
    assert study.query("SELECT model FROM runs") == [(", ".join(models),)]


def test_ten_added_and_one_changed_buy_eleven(make_study: Make) -> None:
    study = make_study(rows=60, per_shard=25)
    rows = {str(number): f"topic {number}" for number in range(60)}
    table(study, rows)
    ran(study.run())
    assert executed(study) == 60
    before = dict(study.query("SELECT row_id, content FROM results"))
    rows |= {str(number): f"topic {number}" for number in range(60, 70)} | {"7": "another topic"}
    table(study, dict(reversed(rows.items())))
    plan = json.loads(study.run("plan", "experiment.yaml", "--json").stdout)
    assert (plan["to_ask"], plan["taken_over"]) == (11, 59)
    compared = {key: plan["compared"][key] for key in ("same", "changed", "added", "gone")}
    assert compared == {"same": 59, "changed": 1, "added": 10, "gone": 0}
    record = ran(study.run())
    assert executed(study) == 71
    assert record["requests"] == {"total": 70, "answered": 70, "failed": 0, "owed": 0, "reused": 59}
    assert record["outcomes"] == {"answered": 70}
    after = dict(study.query("SELECT row_id, content FROM results"))
    assert len(after) == 70
    assert {name: after[name] for name in before if name != "7"} == {
        name: before[name] for name in before if name != "7"
    }
    assert study.query("SELECT count(*) FROM responses WHERE taken_from IS NOT NULL AND cost_usd = 0") == [(59,)]
    # everything but the run itself is gone
    run = record["run"]
    responses = f"SELECT * FROM responses WHERE run_id = '{run}' ORDER BY ALL"  # noqa: S608
    tables = study.query("SELECT * FROM results"), study.query(responses)
    for path in (study.folder / "runs").iterdir():
        if path.is_dir() and path.name != run:
            shutil.rmtree(path)
    for path in study.folder.iterdir():
        if path.name != "runs":
            path.unlink()
    study.server.stop()
    assert study.run("load", run, "--rebuild").status == 0
    assert (study.query("SELECT * FROM results"), study.query(responses)) == tables


def test_a_chain_of_runs_names_where_an_answer_was_bought(make_study: Make) -> None:
    study = make_study(rows=3)
    first = ran(study.run())["run"]
    table(study, {str(number): f"topic {number - 1}" for number in range(1, 5)})
    ran(study.run())
    shutil.rmtree(study.folder / "runs" / first)
    table(study, {"x": "topic 0", "y": "topic 3"})
    record = ran(study.run())
    assert (record["requests"]["reused"], executed(study)) == (2, 4)
    assert study.query(
        "SELECT taken_from = ? FROM responses WHERE taken_from = '{}'".replace("?", f"'{first}'").format(first)
    )
    shown = json.loads(study.run("show", "x", "--json").stdout)
    assert shown["responses"][0]["taken_from"] == first
    assert shown["responses"][0]["outcome"] == "answered"
    assert not study.run("show", "x").stderr


def test_everything_taken_over_needs_no_call(make_study: Make) -> None:
    study = make_study()
    ran(study.run())
    calls = study.server.audit()["calls"]
    study.change(name="renamed", limits={"requests_per_batch": 5})
    table(study, {f"other-{number}": f"topic {number}" for number in range(12)})
    record = ran(study.run())
    assert record["requests"]["reused"] == 12
    assert (record["state"], record["batches"], record["up_to_date"]) == ("complete", 0, False)
    assert study.server.audit()["calls"] == calls
    assert study.query("SELECT count(*) FROM results WHERE experiment = 'renamed'") == [(12,)]
    listed = {each["run"]: each["state"] for each in study.run("runs", "--json").json()["runs"]}
    assert listed[record["run"]] == "complete"
    planned = study.run("plan", "experiment.yaml")
    assert "build ✓ → load ✓" in planned.stdout
    assert "The run is complete: to run it would buy nothing." in planned.stderr
    (study.folder / "results.duckdb").unlink()  # whichever run brings it back brings this one too
    assert study.run("load", str(study.run_folder), "--rebuild").status == 0
    assert study.query("SELECT count(*) FROM results WHERE experiment = 'renamed'") == [(12,)]
    assert ran(study.run())["up_to_date"] is True
    status = json.loads(study.run("status", "experiment.yaml", "--json").stdout)
    assert (status["state"], status["shards"]) == ("complete", [])
    # a copy is kept when its study changes: nobody but its holder knows how many copies there are
    study.change(parameters={"model": "gpt-5"})
    ran(study.run("plan", "experiment.yaml", "--json"))
    assert (study.folder / "runs" / record["run"]).is_dir()


def test_an_edit_in_flight_buys_nothing_twice(make_study: Make) -> None:
    study = make_study(delay=1.5)
    first = study.run("run", "experiment.yaml", "--yes", "--json", "--no-wait")
    assert first.status == 5
    table(study, {str(number): f"topic {number - 1}" for number in range(1, 14)})
    busy = study.run()
    assert busy.status == 7
    assert first.json()["run"] in busy.stderr
    assert executed(study) <= 12
    assert study.run("run", first.json()["folder"], "--yes", "--json").status == 0
    record = ran(study.run())
    assert (record["requests"]["reused"], executed(study)) == (12, 13)


def test_a_plan_made_before_the_answers_came_is_made_anew(make_study: Make) -> None:
    study = make_study(delay=1.0)
    first = study.run("run", "experiment.yaml", "--yes", "--json", "--no-wait").json()
    table(study, {str(number): f"topic {number - 1}" for number in range(1, 15)})
    planned = study.run("plan", "experiment.yaml", "--json")
    assert (planned.status, planned.json()["to_ask"]) == (0, 14)
    assert f"12 requests of this study are in flight in the run {first['run']}: `run` would stop" in planned.stderr
    cancelled = study.run("cancel", "experiment.yaml")
    assert "nothing of it was sent" in cancelled.stderr
    assert f"Another run of this study has 4 open batches: batchflow cancel runs/{first['run']}" in cancelled.stderr
    assert study.run("run", first["folder"], "--yes").status == 0
    record = ran(study.run())
    assert (record["requests"]["reused"], executed(study)) == (12, 14)


@pytest.mark.parametrize("way", ["reuse", "fresh"])
def test_asked_again_on_purpose(make_study: Make, way: str) -> None:
    study = make_study()
    ran(study.run())
    if way == "fresh":
        record = ran(study.run("run", "experiment.yaml", "--yes", "--json", "--fresh"))
    else:
        study.change(reuse="none", name="again")
        table(study, {f"n{number}": f"topic {number}" for number in range(12)})
        record = ran(study.run())
    assert record["requests"]["reused"] == 0
    assert executed(study) == 24


def test_equal_prompts_may_share_one_answer(make_study: Make) -> None:
    faults = [{"fault": "expire", "nth": [1], "fraction": 0.5}]
    study = make_study(texts=["the same", "other"] * 5, per_shard=50, faults=faults)
    study.change(duplicates="share")
    ended = study.run()
    record = ran(ended)
    assert record["requests"] == {"total": 10, "answered": 10, "failed": 0, "owed": 0, "reused": 0}
    assert executed(study) == 2
    assert study.query("SELECT count(*), count(DISTINCT content), count(total_tokens) FROM results") == [(10, 2, 2)]
    assert study.query("SELECT count(*), count(DISTINCT request_key), max(draw) FROM requests") == [(10, 2, 1)]
    shown = json.loads(study.run("show", "9", "experiment.yaml", "--json").stdout)
    assert shown["responses"][-1]["outcome"] == "answered"
    assert shown["asked_as"] == study.query("SELECT custom_id FROM requests WHERE row_number = 1")[0][0]
    assert study.run("load", "experiment.yaml", "--rebuild").status == 0
    assert study.query("SELECT count(*), count(DISTINCT content), count(total_tokens) FROM results") == [(10, 2, 2)]
    # what is shared is found again by those that share, and by the first of those that do not
    study.change(duplicates=None)
    record = ran(study.run())
    assert (record["requests"]["reused"], executed(study)) == (2, 10)
    # replicates are draws of their own, shared with the other rows' replicate of the same number
    study.change(duplicates="share", design={"replicates": 3})
    record = ran(study.run())
    assert (record["requests"]["reused"], executed(study)) == (30, 10)
    keys = "SELECT count(*), count(DISTINCT request_key), max(draw) FROM requests WHERE run_id = "
    assert study.query(f"{keys}'{record['run']}'") == [(30, 6, 3)]


def test_refusals_and_errors_are_taken_over_as_they_are(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "row_error", "rows": [2, 5], "status": 400}])
    assert study.run().status == 4
    failed = study.query(
        "SELECT row_id, error_code FROM results r JOIN responses USING (run_id, custom_id) WHERE r.outcome = 'error'"
    )
    assert failed
    table(study, {str(number): f"topic {number - 1}" for number in range(1, 14)})
    ended = study.run()
    record = ended.json()
    assert ended.status == 4
    assert record["requests"]["reused"] == 12
    assert record["requests"]["failed"] == len(failed)


def test_design_from_files_zip_and_where(make_study: Make) -> None:
    study = make_study(rows=4, per_shard=50)
    (study.folder / "frames.csv").write_text('name,text\ngain,You win.\nloss,"You lose, alas."\n')
    (study.folder / "prices.yaml").write_text("[1, 2.50]\n")
    design = {
        "factors": {
            "frame": {"file": "frames.csv", "column": "text", "label": "name"}, "price": {"file": "prices.yaml"},
        },
        "zip": [["frame", "price"]], "where": "id::int <= 3", "exclude": ["price > 2 AND id = '1'"],
    }  # fmt: skip
    study.change(design=design, prompt={"user": "{{topic}}: {{frame}} It costs {{price}}."})
    record = ran(study.run())
    assert record["requests"]["total"] == 5
    assert study.query("SELECT row_id, condition, frame, price FROM results") == [
        ("1", "frame=gain,price=1", "gain", 1.0),
        ("2", "frame=gain,price=1", "gain", 1.0), ("2", "frame=loss,price=2.50", "loss", 2.5),
        ("3", "frame=gain,price=1", "gain", 1.0), ("3", "frame=loss,price=2.50", "loss", 2.5),
    ]  # fmt: skip
    lines = study.run_folder.joinpath("requests/r1-00001.jsonl").read_text().splitlines()
    assert json.loads(lines[2])["body"]["messages"][0]["content"] == "topic 1: You lose, alas. It costs 2.50."
    assert {path.name for path in study.run_folder.joinpath("spec").iterdir()} == {
        "experiment.yaml",
        "frames.csv",
        "prices.yaml",
    }
    (study.folder / "frames.csv").unlink()
    (study.folder / "rows.csv").unlink()
    assert study.run("load", study.run_folder.name, "--rebuild").status == 0


def test_a_damaged_answer_is_never_taken_over(make_study: Make) -> None:
    study = make_study(rows=3, per_shard=50)
    first = ran(study.run())["run"]
    answers = study.folder / "runs" / first / "responses" / "r1-00001.output.jsonl"
    whole = answers.read_bytes()
    answers.write_bytes(whole.replace(b"topic 1", b"topic X"))
    table(study, {str(number): f"topic {number - 1}" for number in range(1, 5)})
    ended = study.run()
    assert ended.status == 3
    assert "not what was collected" in ended.stderr
    assert [path.name for path in (study.folder / "runs").iterdir() if path.is_dir()] == [first]
    assert executed(study) == 3
    answers.write_bytes(whole)
    assert ran(study.run())["requests"]["reused"] == 3


@pytest.mark.parametrize("window", ["build.before-publish", "build.after-publish", "start.after-create"])
def test_killed_while_taking_over(make_study: Make, window: str) -> None:
    study = make_study()
    ran(study.run())
    table(study, {str(number): f"topic {number - 1}" for number in range(1, 15)})
    assert study.run(failpoint=window).status == -9
    record = ran(study.run())
    assert (record["requests"]["reused"], executed(study)) == (12, 14)
    assert study.query("SELECT count(*) FROM results WHERE outcome = 'answered'") == [(14,)]


def test_a_row_keeps_its_own_answer_among_equal_ones(make_study: Make) -> None:
    """Rows that ask word for word the same: neither a pilot, nor an order, nor a new row takes an answer to another."""
    study = make_study(per_shard=50)
    rows = {str(number): f"topic {number % 3}" for number in range(1, 25)}
    table(study, rows)
    answers = "SELECT row_id, replicate, custom_id, content FROM results WHERE outcome = 'answered'"
    study.change(design={"replicates": 2})
    ran(study.run("run", "experiment.yaml", "--yes", "--json", "--sample", "9", "--seed", "2"))
    seen = {(row, replicate): content for row, replicate, _, content in study.query(answers)}
    for change in ("whole", "reversed", "added", "removed"):
        if change == "reversed":
            rows = dict(reversed(rows.items()))
        elif change == "added":
            rows = {"0": "topic 1", "00": "topic 2"} | rows
        elif change == "removed":
            rows = {row: text for row, text in rows.items() if int(row) % 4}
        table(study, rows)
        before = executed(study)
        record = ran(study.run())
        found = {(row, replicate): content for row, replicate, _, content in study.query(answers)}
        assert len(found) == 2 * len(rows)
        kept = {key: content for key, content in seen.items() if key in found}
        assert {key: found[key] for key in kept} == kept, change
        assert executed(study) - before == len(found) - record["requests"]["reused"]
        assert record["requests"]["reused"] >= len(kept)
        seen |= found
    assert executed(study) == 2 * 26
    newest = "SELECT max_by(run_id, created_at) FROM runs"
    keys = study.query(f"SELECT count(DISTINCT request_key), count(*) FROM requests WHERE run_id = ({newest})")  # noqa: S608
    assert keys == [(2 * 18, 2 * 18)]
