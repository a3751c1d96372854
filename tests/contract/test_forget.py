"""A run is forgotten whole, never with something open, never without a word about what only it holds."""

from collections.abc import Callable

import duckdb
import pytest

from tests.crash.harness import Study

Make = Callable[..., Study]


def folders(study: Study) -> list[str]:
    return sorted(path.parent.name for path in study.folder.glob("runs/*/manifest.json"))


def rows(study: Study, run: str) -> int:
    with duckdb.connect(str(study.folder / "results.duckdb"), read_only=True) as con:
        found = con.execute(
            "SELECT (SELECT count(*) FROM runs WHERE run_id = $run) "
            "+ (SELECT count(*) FROM requests WHERE run_id = $run) "
            "+ (SELECT count(*) FROM responses WHERE run_id = $run)",
            {"run": run},
        ).fetchall()
    return int(found[0][0])


def test_the_only_holder_of_answers_says_so_and_goes_whole(make_study: Make) -> None:
    study = make_study()
    run = study.run().json()["run"]
    refused = study.run("forget", run)
    assert refused.status == 2
    assert "12 of its 12 answers are in no other run" in refused.stderr
    assert folders(study) == [run]
    ended = study.run("forget", run, "--yes", "--json")
    assert ended.status == 0, ended.stderr
    record = ended.json()
    assert (record["run"], record["answers"], record["only_here"], record["rows"]) == (run, 12, 12, True)
    assert folders(study) == []
    assert not list((study.folder / "runs").glob(".*.part"))
    assert rows(study, run) == 0
    assert study.query("SELECT count(*) FROM results") == [(0,)]
    assert study.run("status", run).status == 2


def test_another_answer_to_the_same_request_is_not_the_same_answer(make_study: Make) -> None:
    study = make_study()
    first = study.run().json()["run"]
    with (study.folder / "rows.csv").open("a") as table:
        table.write("13,one more\n")
    taking = study.run().json()  # has the very answers of the first one
    assert taking["requests"]["reused"] == 12
    fresh = study.run("run", "experiment.yaml", "--fresh", "--yes", "--json").json()["run"]
    ended = study.run("forget", fresh, "--yes", "--json")
    assert "13 requests of it have another answer in other runs of this project: the answers here are lost" in (
        " ".join(ended.stderr.split())
    )
    record = ended.json()
    assert (record["answers"], record["only_here"], record["other_answers"]) == (13, 0, 13)
    record = study.run("forget", first, "--yes", "--json").json()
    assert (record["answers"], record["only_here"], record["other_answers"]) == (12, 0, 0)
    refused = study.run("forget", taking["run"])
    assert "13 of its 13 answers are in no other run" in refused.stderr


def test_answers_taken_over_live_on(make_study: Make) -> None:
    study = make_study()
    first = study.run().json()["run"]
    with (study.folder / "rows.csv").open("a") as table:
        table.write("13,one more\n")
    second = study.run().json()
    assert second["requests"]["reused"] == 12
    ended = study.run("forget", first, "--yes", "--json")
    assert ended.status == 0
    assert (ended.json()["answers"], ended.json()["only_here"]) == (12, 0)
    assert "are in other runs of this project too" in ended.stderr
    assert folders(study) == [second["run"]]
    assert study.run("load", second["run"], "--rebuild").status == 0
    assert study.query("SELECT count(*) FROM results WHERE outcome = 'answered'") == [(13,)]


def test_a_held_database_comes_before_everything(make_study: Make) -> None:
    study = make_study()
    run = study.run().json()["run"]
    with duckdb.connect(str(study.folder / "results.duckdb")):
        ended = study.run("forget", run, "--yes")
    assert ended.status == 5, ended.stderr
    assert folders(study) == [run]
    assert rows(study, run) > 0


@pytest.mark.parametrize("window", ["forget.before-rows", "forget.after-rows"])
def test_killed_while_forgetting(make_study: Make, window: str) -> None:
    study = make_study()
    run = study.run().json()["run"]
    assert study.run("forget", run, "--yes", failpoint=window).status == -9
    assert folders(study) == [run]
    before = study.server.audit()["calls"]
    again = study.run()  # whole: it is still what it was
    assert (again.status, study.server.audit()["calls"]) == (0, before)
    assert study.query("SELECT count(*) FROM results") == [(12,)]
    assert study.run("forget", run, "--yes").status == 0
    assert (folders(study), rows(study, run)) == ([], 0)


def test_open_batches_and_doubts_are_kept(make_study: Make) -> None:
    study = make_study(delay=5.0)
    assert study.run(failpoint="start.after-create").status == -9
    run = study.run_folder.name
    ended = study.run("forget", run, "--yes")
    assert ended.status == 7
    assert "cancel" in ended.stderr
    assert folders(study) == [run]


def test_a_local_run_goes_with_its_server(make_study: Make) -> None:
    study = make_study()
    local = study.run("run", "experiment.yaml", "--provider", "local", "--json")
    run = local.json()["run"]
    assert (study.folder / "runs" / run / "server").is_dir()
    ended = study.run("forget", run, "--yes")
    assert ended.status == 0
    assert "SIMULATED" in ended.stderr
    assert folders(study) == []


def test_a_planned_run_and_a_database_that_is_not_there(make_study: Make) -> None:
    study = make_study()
    assert study.run("plan", "experiment.yaml").status == 0
    ended = study.run("forget", "experiment.yaml", "--yes", "--json")
    assert ended.status == 0
    assert (ended.json()["answers"], ended.json()["rows"]) == (0, False)
    assert folders(study) == []
    assert not (study.folder / "results.duckdb").exists()


def test_files_that_stay_at_the_provider_are_told(make_study: Make) -> None:
    study = make_study()
    study.run()
    told = study.run("forget", "experiment.yaml").stderr  # nobody agrees
    assert "8 files of it may still be at the provider" in told  # of 4 batches, what was sent and what came back
