"""A pilot: some rows in place of all, by the same code; the whole study takes its answers over."""

from collections.abc import Callable

import pytest

from tests.crash.harness import Study
from tests.zygote import Ended

Make = Callable[..., Study]
RUN = ("run", "experiment.yaml", "--yes", "--json")


def rows_asked(study: Study) -> list[str]:
    return [row for (row,) in study.query("SELECT row_id FROM results ORDER BY row_number")]


def ok(ended: Ended) -> dict[str, object]:
    assert ended.status == 0, ended.stderr
    record: dict[str, object] = ended.json()["requests"] | {"run": ended.json()["run"]}
    return record


def test_twenty_of_a_thousand_then_the_other_980(make_study: Make) -> None:
    study = make_study(rows=1000, per_shard=500, rows_per_second=5000)
    study.change(design={"factors": {"temperature": [0, 1]}, "assign": "between", "balance": "exact"})
    pilot = ok(study.run(*RUN, "--sample", "20"))
    assert pilot["total"] == pilot["answered"] == 20
    before = study.query("SELECT row_id, condition, content FROM results ORDER BY row_id")
    whole = ok(study.run())
    assert (whole["total"], whole["reused"]) == (1000, 20)
    assert study.server.audit()["executions"]["rows"] == 1000
    kept = (
        "SELECT row_id, condition, content FROM results WHERE row_id IN (SELECT row_id FROM results_all WHERE run_id = "
    )
    assert study.query(f"{kept}'{pilot['run']}') ORDER BY row_id") == before
    # a later pilot does not hide the whole study
    assert ok(study.run(*RUN, "--where", "id = '7'"))["total"] == 1
    assert len(rows_asked(study)) == 1000
    # the same pilot again is the run that is there
    assert ok(study.run(*RUN, "--sample", "20"))["run"] == pilot["run"]
    assert study.server.audit()["executions"]["rows"] == 1000


def test_the_next_command_is_that_of_the_pilot_and_a_plan_that_goes_is_named(make_study: Make) -> None:
    study = make_study(rows=20)
    whole = study.run("plan", "experiment.yaml", "--json").json()["run"]
    planned = study.run("plan", "experiment.yaml", "--sample", "5")
    assert f"note: the plan {whole}, of which nothing was sent, was removed for this one" in planned.stderr
    (following,) = [line for line in planned.stderr.splitlines() if "Next:" in line]
    command = following.partition("Next: batchflow ")[2].split()
    assert command[0] == "run"
    assert ok(study.run(*command, "--yes", "--json"))["total"] == 5
    told = study.run("run", "experiment.yaml", "--yes", "--sample", "6", "--until", "build").stderr
    command = told.rpartition("Next: batchflow ")[2].split()[:2]
    assert ok(study.run(*command, "--yes", "--json"))["total"] == 6


def test_the_spec_and_the_option_say_the_same(make_study: Make) -> None:
    study = make_study()
    study.change(sample={"n": 5, "seed": 3})
    named = ok(study.run())
    assert (named["total"], len(rows_asked(study))) == (5, 5)
    assert ok(study.run(*RUN, "--sample", "5"))["run"] == named["run"]
    study.change(sample=None)
    assert ok(study.run(*RUN, "--sample", "5", "--seed", "3"))["run"] == named["run"]
    assert ok(study.run(*RUN, "--sample", "5", "--seed", "4"))["run"] != named["run"]
    assert ok(study.run())["total"] == 12


def test_ids_and_a_condition(make_study: Make) -> None:
    study = make_study()
    (study.folder / "ids.txt").write_text("\ufeff7\n2\n\n7\n11\n")
    assert ok(study.run(*RUN, "--ids", "ids.txt"))["total"] == 3
    assert rows_asked(study) == ["2", "7", "11"]
    assert ok(study.run(*RUN, "--ids", "ids.txt", "--where", "id::int > 2 AND topic <> 'topic 10'"))["total"] == 1
    assert rows_asked(study) == ["7"]
    assert study.server.audit()["executions"]["rows"] == 3
    planned = study.run("plan", "experiment.yaml", "--where", "id = '2'", "--json").json()
    assert (planned["to_ask"], planned["taken_over"], planned["rows"]) == (0, 1, 12)
    assert planned["sample"]["where"] == "id = '2'"


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--where", "topik = 'a'"), 3, "topik"),
        (("--where", "id::int > 'x'"), 3, "--where"),
        (("--where", "(SELECT true)"), 3, "--where"),
        (("--where", " "), 2, "empty"),
        (("--seed", "1"), 2, "--sample"),
        (("--ids", "no.txt"), 3, "no.txt"),
        (("--ids", "ids.txt"), 3, "'77'"),
        (("--where", "id = '77'"), 3, "no row is left"),
        (("--sample", "0"), 2, "--sample"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_sent(
    make_study: Make, options: tuple[str, ...], status: int, words: str
) -> None:
    study = make_study()
    (study.folder / "ids.txt").write_text("1\n77\n")
    ended = study.run(*RUN, *options)
    assert ended.status == status, ended.stderr
    assert words in ended.stderr
    assert not list(study.folder.glob("runs/*/manifest.json"))
    assert study.server.audit()["executions"]["rows"] == 0


def test_a_pilot_of_which_everything_is_answered_stops_where_it_is_told_to(make_study: Make) -> None:
    study = make_study()
    assert study.run().status == 0
    ended = study.run("run", "experiment.yaml", "--sample", "5", "--until", "build", "--json")
    assert (ended.status, ended.json()["up_to_date"]) == (5, False)
    assert study.run("run", "experiment.yaml", "--sample", "5").status == 0
    assert study.run("run", "experiment.yaml", "--sample", "5", "--until", "build").status == 0  # it is complete


def test_runs_mark_a_pilot(make_study: Make) -> None:
    study = make_study()
    assert study.run(*RUN, "--sample", "5").status == 0
    assert study.run().status == 0
    shown = study.run("runs").stdout
    assert shown.count("complete (pilot)") == 1
    assert [each["pilot"] for each in study.run("runs", "--json").json()["runs"]] == [True, False]
