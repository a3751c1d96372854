"""What a run promises, seen from outside: the program on one side, a server's own account on the other."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from tests.crash.harness import Study, slow

Make = Callable[..., Study]
CREATE = "POST /v1/batches"


def calls(study: Study) -> dict[str, int]:
    found: dict[str, int] = study.server.audit()["calls"]
    return found


def test_second_run_makes_no_call(make_study: Make) -> None:
    study = make_study()
    assert study.run().status == 0
    before = calls(study)
    ended = study.run()
    assert ended.status == 0
    assert ended.json()["up_to_date"] is True
    assert calls(study) == before


def test_lost_reply_is_one_batch(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "lost_reply", "on": "batches.create", "nth": [1]}], per_shard=12)
    assert study.run().status == 0
    assert calls(study)[CREATE] == 1
    study.check_account()
    assert [event["payload"]["adopted"] for event in study.events("receipt")] == [True]


def test_lost_reply_while_the_list_lags(make_study: Make) -> None:
    faults = [
        {"fault": "lost_reply", "on": "batches.create", "nth": [1]},
        {"fault": "list_lag", "seconds": 0.6},
    ]
    study = make_study(faults=faults, per_shard=12, settle="1.2s", delay=3.0)
    assert study.run().status == 0
    assert calls(study)[CREATE] == 1
    study.check_account()


def test_metadata_dropped_by_the_provider(make_study: Make) -> None:
    faults = [{"fault": "drop_metadata"}, {"fault": "lost_reply", "on": "batches.create", "nth": [2]}]
    study = make_study(faults=faults)
    assert study.run().status == 0
    study.check_account()


@pytest.mark.parametrize("raw", [False, True])
def test_raw_bodies_are_stored_only_where_asked_for(make_study: Make, *, raw: bool) -> None:
    study = make_study(per_shard=12)
    if raw:
        with (study.folder / "experiment.yaml").open("a") as spec:
            spec.write("output: {raw: true}\n")
    assert study.run().status == 0
    assert study.query("SELECT count(body) FROM responses") == [(12 if raw else 0,)]


def test_twenty_equal_personas_are_twenty_answers(make_study: Make) -> None:
    study = make_study(texts=["the same"] * 20)
    assert study.run().status == 0
    study.check_account()
    assert study.query("SELECT count(*), count(DISTINCT request_key), max(draw) FROM requests") == [(20, 20, 20)]


def test_answers_never_cross_scopes(make_study: Make) -> None:
    study = make_study()
    ended = study.run("run", "experiment.yaml", "--provider", "local", "--json")
    assert ended.status == 0
    assert ended.json()["simulated"] is True
    assert "SIMULATED" in ended.stderr
    other = study.run()
    assert other.status == 0
    assert other.json()["requests"]["reused"] == 0
    assert other.json()["run"] != ended.json()["run"]
    assert study.server.audit()["executions"]["rows"] == study.rows
    # a run that is not simulated goes before a simulated one
    assert study.query("SELECT DISTINCT simulated FROM results") == [(False,)]


@pytest.mark.parametrize("failpoint", ["start.after-create", "collect.before-publish"])
def test_killed_and_resumed_under_another_key(make_study: Make, failpoint: str) -> None:
    study = make_study(per_shard=12)
    assert study.run(failpoint=failpoint).status == -9
    ended = study.run(key="sk-somebody-else")
    assert ended.status == 6
    assert "another key" in ended.stderr
    assert calls(study)[CREATE] == 1
    assert study.run().status == 0
    study.check_account()


def test_rebuild_from_the_folder_alone(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "expire", "nth": [1], "fraction": 0.4}])
    assert study.run().status == 0
    tables = (
        "SELECT * FROM results",
        "SELECT * EXCLUDE (created_at) FROM runs",
        "SELECT * FROM responses ORDER BY ALL",
    )
    before = [study.query(sql) for sql in tables]
    run = study.run_folder.name
    for path in study.folder.iterdir():
        if path.name != "runs":
            path.unlink()
    study.server.stop()
    ended = study.run("load", run, "--rebuild", "--json")
    assert ended.status == 0, ended.stderr
    assert [study.query(sql) for sql in tables] == before


def test_a_held_database_does_not_stop_a_run(make_study: Make) -> None:
    study = make_study()
    assert study.run("run", "experiment.yaml", "--yes", "--until", "build").status == 5
    hold = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print(1, flush=True); time.sleep(4)"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(study.folder / "results.duckdb")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        ended = study.run()
        holder.kill()
    assert ended.status == 0, ended.stderr
    assert "holds" in ended.stderr or "held" in ended.stderr
    study.check_account()


def test_a_damaged_database_stops_nothing_but_the_load(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "expire", "nth": [1], "fraction": 0.4}])
    database = study.folder / "results.duckdb"
    database.write_bytes(b"not a database at all" * 1000)
    ended = study.run()
    assert ended.status == 5, ended.stderr
    assert "move it away" in ended.stderr
    assert len(study.events("collected")) == 5  # a round and what it left, both fetched
    before = calls(study)
    database.unlink()
    assert study.run().status == 0
    assert calls(study) == before
    study.check_account()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM responses WHERE custom_id LIKE '%3-%'",
        "UPDATE requests SET owed = 'missing'",
        "UPDATE requests SET last_round = 7 WHERE row_number = 1",
        "UPDATE responses SET custom_id = (SELECT max(custom_id) FROM responses)",
        "UPDATE responses SET round = 2 WHERE custom_id LIKE '%1-%'",
        "DELETE FROM batches",
    ],
)
def test_tables_that_somebody_changed_are_made_again(make_study: Make, change: str) -> None:
    study = make_study()
    assert study.run().status == 0
    before = study.query("SELECT * FROM results ORDER BY ALL")
    with duckdb.connect(str(study.folder / "results.duckdb")) as con:
        con.execute(change)
    assert study.run().status == 0
    assert study.query("SELECT * FROM results ORDER BY ALL") == before
    study.check_account()


def test_the_journal_says_which_lines_are_not_of_the_usual_kind(make_study: Make) -> None:
    """Without it, tables are made line by line: as they should be, and ten times as slowly."""
    study = make_study(rows=12, per_shard=6, faults=[{"fault": "row_outcome", "rows": [2], "outcome": "refusal"}])
    assert study.run().status == 4
    events = map(json.loads, (study.run_folder / "journal.jsonl").read_bytes().splitlines())
    files = [file for event in events if event["kind"] == "collected" for file in event["payload"]["files"]]
    assert any(file["odd"] for file in files)
    for file in files:
        lines = (study.run_folder / "responses" / file["name"]).read_bytes().splitlines()
        said = [json.loads(line)["response"]["body"]["choices"][0]["message"] for line in lines]
        assert file["odd"] == [number for number, message in enumerate(said, start=1) if message["refusal"]]


@pytest.mark.parametrize("holds", [3, *slow(1)])
def test_full_queue_costs_few_creates(make_study: Make, holds: int) -> None:
    study = make_study(rows=12, per_shard=1, faults=[{"fault": "token_limit", "batches": holds}], delay=0.2)
    ended = study.run()
    assert ended.status == 0, ended.stderr
    assert ended.json()["rounds"] == 1
    assert ended.json()["batches"] == 12
    assert calls(study)[CREATE] < 2 * 12 + 10
    study.check_account()


def test_a_shard_larger_than_the_whole_queue_is_given_up(make_study: Make) -> None:
    study = make_study(per_shard=12, faults=[{"fault": "token_limit", "tokens": 1}])
    ended = study.run()
    assert ended.status == 6
    assert "requests_per_batch" in ended.stderr
    assert study.server.audit()["executions"]["rows"] == 0


def test_a_list_that_is_never_readable_costs_nothing(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "list_damaged", "how": "null_data", "every": 1}], rows=10, per_shard=1)
    assert study.run().status == 0
    study.check_account()


def test_at_most_so_many_batches_are_open(make_study: Make) -> None:
    study = make_study(rows=6, per_shard=1, in_flight=2, faults=[{"fault": "token_limit", "batches": 2}])
    assert study.run().status == 0
    assert not study.events("released")
    study.check_account()


def test_every_kind_of_row_gets_one_outcome(make_study: Make) -> None:
    faults: list[dict[str, Any]] = [
        {"fault": "row_outcome", "rows": [1], "outcome": "refusal"},
        {"fault": "row_outcome", "rows": [2], "outcome": "truncated"},
        {"fault": "row_outcome", "rows": [3], "outcome": "filtered"},
        {"fault": "row_outcome", "rows": [4], "outcome": "empty"},
        {"fault": "row_error", "rows": [5], "status": 400, "code": "context_length_exceeded"},
        {"fault": "doubled_lines", "rows": [6]},
        {"fault": "foreign_lines", "rows": [7]},
    ]
    study = make_study(faults=[{**fault, "batch": 1} for fault in faults], per_shard=12)
    ended = study.run()
    assert ended.status == 4
    record = ended.json()
    assert record["state"] == "complete"
    assert record["outcomes"] == {
        "answered": 7,
        "refused": 1,
        "truncated": 1,
        "filtered": 1,
        "empty": 1,
        "error": 1,
    }
    assert record["requests"] == {"total": 12, "answered": 7, "failed": 5, "owed": 0, "reused": 0}
    assert record["lines"] == {"doubled": 1, "conflicting": 0, "unknown": 1, "unreadable": 0}
    assert calls(study)[CREATE] == 1
    assert study.run().status == 4
    assert calls(study)[CREATE] == 1


def test_a_broken_line_costs_no_other_and_is_shown_with_its_place(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "broken_lines", "rows": [3], "batch": 1}], per_shard=12)
    ended = study.run()
    assert ended.status == 0
    record = ended.json()
    assert record["lines"] == {"doubled": 0, "conflicting": 0, "unknown": 0, "unreadable": 1}
    (bad,) = record["bad_lines"]
    place = f"responses/{bad['file']}:{bad['line']}: this is no JSON"
    assert study.query("SELECT file, line_no, error FROM bad_lines") == [(bad["file"], bad["line"], bad["error"])]
    ((text,),) = study.query("SELECT text FROM bad_lines")
    file = next((study.folder / "runs").glob(f"*/responses/{bad['file']}"))
    assert file.read_text().splitlines()[bad["line"] - 1].startswith(text)
    assert "custom_id" in text
    for command in ("run", "status"):
        shown = study.run(command, "experiment.yaml", *(["--yes"] if command == "run" else []))
        assert place in shown.stdout + shown.stderr


def test_owed_rows_are_asked_again_and_then_named(make_study: Make) -> None:
    faults = [{"fault": "row_error", "rows": [1], "status": 500}, {"fault": "row_error", "rows": [2], "status": 0}]
    study = make_study(faults=faults, per_shard=12, rounds=2)
    ended = study.run()
    assert ended.status == 4
    record = ended.json()
    # round 2 asks rows 1 and 2 again, which fail again: they are its rows 1 and 2
    assert (record["state"], record["rounds"]) == ("partial", 2)
    assert record["requests"] == {"total": 12, "answered": 10, "failed": 0, "owed": 2, "reused": 0}
    before = calls(study)
    again = study.run()
    assert again.status == 4
    assert "owed" in again.stderr
    assert calls(study) == before
    assert study.query("SELECT count(*) FROM results WHERE content IS NULL") == [(2,)]


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "expire", "nth": [1], "fraction": 0.5},
        {"fault": "row_error", "rows": [2, 5], "status": 429, "code": "rate_limit_exceeded", "batch": 1},
        {"fault": "row_error", "rows": [2], "status": 500, "without_response": True, "batch": 1},
    ],
    ids=lambda fault: fault["fault"] + str(fault.get("status", "")),
)
def test_the_next_round_completes(make_study: Make, fault: dict[str, Any]) -> None:
    study = make_study(faults=[fault], per_shard=6)
    ended = study.run()
    assert ended.status == 0, ended.stderr
    assert ended.json()["rounds"] == 2
    assert study.server.audit()["executions"]["by_custom_id"]["max"] <= 2
    assert study.query("SELECT count(*) FROM results WHERE outcome = 'answered'") == [(12,)]


def test_a_line_the_provider_lost_is_asked_again(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "missing_lines", "rows": [3], "batch": 1}], per_shard=12)
    ended = study.run()
    assert ended.status == 0
    assert ended.json()["rounds"] == 2
    executions = study.server.audit(detail=True)["executions"]
    assert executions["rows"] == 13
    assert len(executions["by_custom_id"]["more_than_once"]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "double_encoded"},
        {"fault": "result_file", "which": "error", "as": "empty_string"},
        {"fault": "cut_download", "bytes": 700, "with_length": False, "nth": [1]},
        {"fault": "http_error", "on": "batches.list", "status": 500, "nth": [1, 2, 3]},
        {"fault": "http_error", "on": "batches.create", "status": 429, "retry_after": 1, "nth": [1, 2]},
        {"fault": "cannot_find_file", "nth": [1]},
        *slow(
            {"fault": "line_endings"},
            {"fault": "result_file", "which": "error", "as": "empty_file"},
            {"fault": "cut_download", "bytes": 700, "with_length": True, "nth": [1, 2]},
            {"fault": "http_error", "on": "batches.create", "status": 502, "nth": [1]},
            {"fault": "http_error", "on": "files.create", "status": 500, "nth": [1, 2, 3, 4]},
            {"fault": "http_error", "on": "files.content", "status": 503, "nth": [1, 2, 3, 4]},
            {"fault": "status", "value": "scheduling", "seconds": 0.3},
        ),
    ],
    ids=lambda fault: "-".join(str(part) for part in fault.values()).replace(" ", ""),
)
def test_no_deviation_costs_a_row(make_study: Make, fault: dict[str, Any]) -> None:
    study = make_study(faults=[fault])
    ended = study.run()
    assert ended.status == 0, ended.stderr
    study.check_account()


def test_many_tries_in_vain_are_told_once(make_study: Make) -> None:
    refusals = {"fault": "http_error", "on": "batches.create", "status": 429, "nth": list(range(1, 9))}
    study = make_study(faults=[refusals], per_shard=12)
    ended = study.run()
    assert ended.status == 0, ended.stderr
    assert ended.stderr.count("6 tries in vain") == 1
    study.check_account()


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "result_file", "which": "output", "as": "null"},
        {"fault": "cut_download", "bytes": 700, "with_length": False, "every": 1},
        *slow(
            {"fault": "result_file", "which": "output", "as": "empty_file"},
            {"fault": "http_error", "on": "files.content", "status": 500, "every": 1},
        ),
    ],
    ids=lambda fault: "-".join(str(part) for part in fault.values()),
)
def test_answers_that_cannot_be_fetched_are_not_bought_again(make_study: Make, fault: dict[str, Any]) -> None:
    study = make_study(faults=[fault], per_shard=12)
    ended = study.run()
    assert ended.status == 6, ended.stderr
    assert "nothing is asked again" in ended.stderr
    assert calls(study)[CREATE] == 1
    assert study.run().status == 6
    assert study.server.audit()["executions"]["by_custom_id"]["max"] == 1


def test_result_files_that_come_late_are_waited_for(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "http_error", "on": "files.content", "status": 404, "nth": [1, 2, 3, 4, 5]}])
    assert study.run().status == 0
    study.check_account()


def test_calls_that_never_wait_get_out_of_a_doubt(make_study: Make) -> None:
    faults = [{"fault": "http_error", "on": "batches.create", "status": 502, "nth": [1]}]
    study = make_study(faults=faults, per_shard=12)
    for _ in range(6):
        ended = study.run("run", "experiment.yaml", "--yes", "--no-wait")
        if ended.status == 0:
            break
        time.sleep(0.3)
    assert ended.status == 0, ended.stderr
    study.check_account()


def test_a_study_changed_back_while_another_is_in_flight(make_study: Make) -> None:
    study = make_study(delay=5.0)
    table = (study.folder / "rows.csv").read_text()
    assert study.run("run", "experiment.yaml", "--yes", "--until", "upload").status == 5
    (study.folder / "rows.csv").write_text(table + "13,another topic\n")
    assert study.run("run", "experiment.yaml", "--yes", "--no-wait").status == 5
    (study.folder / "rows.csv").write_text(table)
    assert study.run().status == 7


def test_characters_that_split_lines_elsewhere_survive(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "line_endings"}])
    assert study.run().status == 0
    study.check_account()
    found = study.query(
        "SELECT count(*) FROM results WHERE contains(content, chr(8232)) OR contains(content, chr(133))"
    )
    assert found[0][0] > 0


def test_a_batch_refused_for_a_cause_of_ours(make_study: Make) -> None:
    faults = [{"fault": "batch_failed", "nth": [2], "code": "invalid_request", "line": 2, "message": "Row is no good."}]
    study = make_study(faults=faults, per_shard=6)
    ended = study.run()
    assert ended.status == 6
    assert "Row is no good." in ended.stderr
    assert "row " in ended.stderr
    assert "line 2" in ended.stderr
    # the other batch was collected and loaded; nothing is lost
    assert study.query("SELECT outcome, count(*) FROM results GROUP BY ALL ORDER BY ALL") == [
        ("answered", 6),
        ("unsent", 6),
    ]
    assert study.run().status == 0
    study.check_account()


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_without_rights_stops_with_a_word(make_study: Make, status: int) -> None:
    study = make_study(faults=[{"fault": "http_error", "on": "files.create", "status": status, "nth": [1]}])
    ended = study.run()
    assert ended.status == 6
    assert "check the key" in ended.stderr
    assert study.run().status == 0


def test_no_money_stops_with_a_word(make_study: Make) -> None:
    code = {"status": 429, "code": "insufficient_quota", "message": "You exceeded your current quota"}
    study = make_study(faults=[{"fault": "http_error", "on": "batches.create", "nth": [1], **code}], per_shard=12)
    ended = study.run()
    assert ended.status == 6
    assert "money" in ended.stderr
    assert calls(study)[CREATE] == 1
    assert study.run().status == 0
    study.check_account()


def test_money_gone_in_the_middle_starts_no_new_round(make_study: Make) -> None:
    code = {"status": 429, "code": "insufficient_quota", "message": "You exceeded your current quota"}
    study = make_study(faults=[{"fault": "row_error", "rows": [4, 5, 6], "batch": 1, **code}], per_shard=12)
    ended = study.run()
    assert ended.status == 6
    assert calls(study)[CREATE] == 1
    assert study.run().status == 0
    study.check_account()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_a_run_that_goes_on(make_study: Make, name: str) -> None:
    study = make_study(delay=2.5)
    ended = study.run(kill_after=1.5, signal=name)
    assert ended.status == 130, ended.stderr
    assert "same command again" in ended.stderr
    assert study.run().status == 0
    study.check_account()


def test_nothing_is_sent_without_consent_or_key(make_study: Make) -> None:
    study = make_study()
    asked = study.run("run", "experiment.yaml", "--json")
    assert asked.status == 2
    assert json.loads(asked.stdout)["code"] == "usage"
    no_key = study.run("run", "experiment.yaml", "--yes", key="")
    assert no_key.status == 3
    assert "OPENAI_API_KEY" in no_key.stderr
    assert not calls(study).get("POST /v1/files")


def test_no_key_is_said_before_building(make_study: Make) -> None:
    study = make_study()
    assert study.run(key="").status == 3
    assert not (study.folder / "runs").exists()
    assert study.run("validate", "experiment.yaml", key="").status == 0
    assert not (study.folder / "runs").exists()
    assert study.run("plan", "experiment.yaml", key="").status == 0


def test_until_and_no_wait(make_study: Make) -> None:
    study = make_study(delay=1.0)
    done: dict[str, str] = {
        "build": "",
        "upload": "uploaded",
        "start": "receipt",
        "poll": "batch",
        "collect": "collected",
    }
    for step, kind in done.items():
        ended = study.run("run", "experiment.yaml", "--yes", "--until", step, "--json")
        assert ended.status == 5, (step, ended.stderr)
        if kind:
            assert len(study.events(kind)) >= 4, step
    assert not (study.folder / "results.duckdb").exists()
    assert study.run("run", "experiment.yaml", "--no-wait").status == 0
    study.check_account()


def test_no_wait_leaves_and_comes_back(make_study: Make) -> None:
    study = make_study(delay=3.0)
    first = study.run("run", "experiment.yaml", "--yes", "--no-wait", "--json")
    assert first.status == 5
    assert first.json()["state"] == "in_progress"
    assert first.json()["requests"]["owed"] == 12
    time.sleep(3.5)
    for _ in range(5):
        ended = study.run("run", "experiment.yaml", "--no-wait", "--json")
        if ended.status == 0:
            break
        time.sleep(0.5)
    assert ended.status == 0
    study.check_account()


def test_fresh_buys_again_and_a_plain_run_goes_on_with_it(make_study: Make) -> None:
    study = make_study()
    first = study.run().json()["run"]
    fresh = study.run("run", "experiment.yaml", "--yes", "--fresh", "--json")
    assert fresh.status == 0
    assert fresh.json()["run"] == f"{first}-2"
    assert study.server.audit()["executions"]["rows"] == 24
    plain = study.run()
    assert plain.json()["run"] == f"{first}-2"
    assert plain.json()["up_to_date"] is True
    assert study.query("SELECT count(*), count(DISTINCT run_id) FROM results") == [(12, 1)]
    assert study.query("SELECT count(*) FROM results_all") == [(24,)]


def test_a_fresh_run_is_gone_on_with_beside_another_in_flight(make_study: Make) -> None:
    study = make_study(delay=6.0)
    assert study.run("run", "experiment.yaml", "--yes", "--no-wait").status == 5
    fresh = ("run", "experiment.yaml", "--yes", "--fresh")
    assert study.run(*fresh, failpoint="start.after-receipt:2").status == -9
    ended = study.run()
    assert ended.status == 0, ended.stderr
    assert ended.json()["run"].endswith("-2")
    assert study.server.audit()["executions"]["by_custom_id"]["max"] <= 2


def test_requests_in_flight_elsewhere_stop_a_new_run(make_study: Make) -> None:
    study = make_study(delay=5.0)
    assert study.run("run", "experiment.yaml", "--yes", "--no-wait").status == 5
    first = study.run_folder
    with (study.folder / "rows.csv").open("a") as table:
        table.write("13,another topic\n")
    ended = study.run()
    assert ended.status == 7
    assert first.name in ended.stderr
    # the way out that the message names: the folder knows all that is needed
    resumed = study.run("run", str(first), "--json")
    assert resumed.status == 0, resumed.stderr
    assert resumed.json()["run"] == first.name
    assert study.run().status == 0
    assert study.server.audit()["executions"]["rows"] == 12 + 1  # only the row that was added


def test_a_changed_study_says_what_was_answered(make_study: Make) -> None:
    study = make_study()
    assert study.run().status == 0
    with (study.folder / "rows.csv").open("a") as table:
        table.write("13,another topic\n")
    ended = study.run("run", "experiment.yaml")
    assert ended.status == 2
    assert "Send 1 request " in ended.stderr
    assert "12 more are taken over from earlier runs" in ended.stderr


def test_an_unsent_run_goes_when_the_study_changes(make_study: Make) -> None:
    study = make_study()
    assert study.run("plan", "experiment.yaml").status == 0
    first = study.run_folder
    with (study.folder / "rows.csv").open("a") as table:
        table.write("13,another topic\n")
    assert study.run("plan", "experiment.yaml").status == 0
    assert not first.exists()
    assert len(list((study.folder / "runs").glob("crash-*"))) == 1


def test_building_twice_gives_the_same_bytes(make_study: Make) -> None:
    study = make_study()
    assert study.run("plan", "experiment.yaml").status == 0
    first = {path.name: path.read_bytes() for path in (study.run_folder / "requests").iterdir()}
    shutil.rmtree(study.folder / "runs")
    assert study.run("plan", "experiment.yaml").status == 0
    assert {path.name: path.read_bytes() for path in (study.run_folder / "requests").iterdir()} == first


def test_a_changed_request_file_is_not_sent(make_study: Make) -> None:
    study = make_study(per_shard=12)
    assert study.run("plan", "experiment.yaml").status == 0
    path = study.run_folder / "requests" / "r1-00001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"topic 3", b"topic X"))
    ended = study.run()
    assert ended.status == 3
    assert "not the one that was built" in ended.stderr
    assert not calls(study).get("POST /v1/files")


def test_two_processes_at_once(make_study: Make) -> None:
    study = make_study(delay=3.0)
    env = {**os.environ, "OPENAI_BASE_URL": study.server.base_url, "OPENAI_API_KEY": "sk-test"}
    command = [sys.executable, "-m", "batchflow", "run", "experiment.yaml", "--yes"]
    with subprocess.Popen(command, cwd=study.folder, env=env, stderr=subprocess.DEVNULL) as first:
        while not list(study.folder.glob("runs/*/server.json")) and not study.server.audit()["calls"].get(CREATE):
            time.sleep(0.05)
        second = study.run()
        first.wait()
    assert second.status == 7
    assert first.returncode == 0
    study.check_account()


def test_a_foreign_writer_stops_this_one(make_study: Make) -> None:
    study = make_study(delay=10.0)  # never waited for: batches change their status before
    env = {**os.environ, "OPENAI_BASE_URL": study.server.base_url, "OPENAI_API_KEY": "sk-test"}
    command = [sys.executable, "-m", "batchflow", "run", "experiment.yaml", "--yes"]
    with subprocess.Popen(command, cwd=study.folder, env=env, stderr=subprocess.PIPE, text=True) as first:
        while not study.server.audit()["calls"].get(CREATE):
            time.sleep(0.05)
        with (study.run_folder / "journal.jsonl").open("a") as journal:
            journal.write("\n")
        _, words = first.communicate()
    assert first.returncode == 7
    assert "another process" in words
    assert study.run().status == 0
    study.check_account()


def test_a_damaged_journal_stops_everything(make_study: Make) -> None:
    study = make_study()
    assert study.run().status == 0
    path = study.run_folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"x" + lines[3], *lines[4:]]))
    before = calls(study)
    ended = study.run()
    assert ended.status == 9
    assert "line 4" in ended.stderr
    assert "--fresh" in ended.stderr
    assert calls(study) == before


def test_no_secret_is_written(make_study: Make) -> None:
    key = "sk-very-secret-key-0123456789"
    faults = [
        {"fault": "http_error", "on": "batches.create", "status": 400, "message": f"no: Bearer {key}", "nth": [1]}
    ]
    study = make_study(faults=faults, per_shard=12)
    ended = study.run(key=key)
    assert ended.status == 6
    assert key not in ended.stderr + ended.stdout
    assert study.run(key=key).status == 0
    for path in study.folder.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path


def test_the_local_server_is_found_again(make_study: Make) -> None:
    study = make_study()
    local = ("run", "experiment.yaml", "--provider", "local", "--json")
    assert study.run(*local, failpoint="start.after-create").status == -9
    info = json.loads(next(study.folder.glob("runs/*/server/server.json")).read_bytes())
    assert info["port"] > 0
    ended = study.run(*local)
    assert ended.status == 0, ended.stderr
    assert ended.json()["requests"]["answered"] == 12
    assert not list(study.folder.glob("runs/*/server/server.json"))
