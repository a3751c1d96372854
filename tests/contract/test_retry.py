"""Asked again on purpose: only by name, in a new round; what was paid for is never lost by it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.harness import Study, slow
from tests.zygote import Ended

Make = Callable[..., Study]
CREATE = "POST /v1/batches"
AGAIN = ("retry", "experiment.yaml", "--yes", "--json")
# the first batch: a refusal, a truncation, an error that is final
FAULTS: list[dict[str, Any]] = [
    {"fault": "row_outcome", "rows": [1], "outcome": "refusal", "batch": 1},
    {"fault": "row_outcome", "rows": [2], "outcome": "truncated", "batch": 1},
    {"fault": "row_error", "rows": [3], "status": 400, "code": "context_length_exceeded", "batch": 1},
]
TABLES = (
    "SELECT * FROM results",
    "SELECT * EXCLUDE (created_at) FROM runs",
    "SELECT * FROM responses ORDER BY ALL",
    "SELECT custom_id, owed, last_round FROM requests ORDER BY ALL",
)


def creates(study: Study) -> int:
    found: int = study.server.audit()["calls"].get(CREATE, 0)
    return found


def made(make_study: Make, *more: dict[str, Any], **options: Any) -> Study:
    study = make_study(faults=[*FAULTS, *more], per_shard=12, **options)
    assert study.run().status == 4
    return study


def check(ended: Ended, study: Study, status: int) -> dict[str, Any]:
    """Journal and tables say the same, and a rebuild from the folder says it again."""
    assert ended.status == status, ended.stderr
    record = ended.json()
    shown = dict(study.query("SELECT outcome, count(*) FROM results GROUP BY outcome"))
    assert record["outcomes"] == shown
    assert sum(shown.values()) == record["requests"]["total"] == study.rows
    before = [study.query(sql) for sql in TABLES]
    (study.folder / "results.duckdb").unlink()
    assert study.run("load", str(study.run_folder), "--rebuild").status == status
    assert [study.query(sql) for sql in TABLES] == before
    return record


def test_only_what_is_named_is_asked_again(make_study: Make) -> None:
    study = made(make_study)
    before = creates(study)
    idle = study.run(*AGAIN)
    assert idle.status == 4
    assert "nothing to ask again" in idle.stderr
    assert "--outcome error,refused,truncated" in idle.stderr
    assert creates(study) == before
    record = check(study.run(*AGAIN, "--outcome", "refused,error"), study, 4)
    assert record["outcomes"] == {"answered": 11, "truncated": 1}
    assert (record["rounds"], record["asked_again"]) == (2, 2)
    assert study.server.audit()["executions"]["rows"] == 11 + 2  # an error is no execution
    assert study.query("SELECT row_id FROM results WHERE outcome = 'truncated'") == [("2",)]
    # the earlier answers stay where they were
    assert study.query("SELECT outcome FROM responses WHERE round = 1 AND outcome <> 'answered' ORDER BY 1") == [
        ("error",), ("refused",), ("truncated",),
    ]  # fmt: skip
    assert "row_error" not in study.run("show", "1", "experiment.yaml").stdout
    up_to_date = study.run()
    assert (up_to_date.status, up_to_date.json()["up_to_date"]) == (4, True)


def test_nobody_agrees_nothing_is_sent(make_study: Make) -> None:
    study = made(make_study)
    before = creates(study)
    ended = study.run("retry", "experiment.yaml", "--outcome", "refused")
    assert ended.status == 2
    assert "Send 1 request again" in ended.stderr
    assert "1 refused" in ended.stderr
    assert creates(study) == before
    assert len(study.events("built")) == 1


@pytest.mark.parametrize("kinds", ["", "refused,nonsense", "expired", ","])
def test_outcomes_that_are_none(make_study: Make, kinds: str) -> None:
    study = make_study()
    ended = study.run(*AGAIN, "--outcome", kinds)
    assert ended.status == 2
    assert "no final outcome" in ended.stderr


def test_a_repetition_that_comes_to_nothing_loses_nothing(make_study: Make) -> None:
    study = made(make_study, {"fault": "expire", "nth": [2], "fraction": 0.0})
    content = study.query("SELECT row_id, outcome, content FROM results")
    record = check(study.run(*AGAIN, "--outcome", "refused,truncated,answered"), study, 4)
    assert record["outcomes"] == {"answered": 9, "refused": 1, "truncated": 1, "error": 1}
    assert record["rounds"] == 2  # nothing is owed by it
    assert study.query("SELECT row_id, outcome, content FROM results") == content
    # and the next one gets it
    record = check(study.run(*AGAIN, "--outcome", "refused,truncated"), study, 4)
    assert record["outcomes"] == {"answered": 11, "error": 1}


def test_what_is_owed_after_the_last_round_gets_as_many_more(make_study: Make) -> None:
    fault = {"fault": "row_error", "rows": [1], "status": 500, "batch": [1, 2, 3]}
    study = make_study(faults=[fault], per_shard=12, rounds=2)
    assert study.run().json()["rounds"] == 2
    assert study.run().json()["rounds"] == 2
    record = check(study.run(*AGAIN), study, 0)
    assert (record["rounds"], record["outcomes"]) == (4, {"answered": 12})
    assert study.server.audit()["executions"]["rows"] == 12


def test_another_model_is_left_aside(make_study: Make) -> None:
    study = made(make_study)
    ended = study.run(*AGAIN, "--outcome", "refused", "--model", "gpt-nobody")
    assert ended.status == 2
    assert "gpt-4o" in ended.stderr
    record = check(study.run(*AGAIN, "--outcome", "refused", "--model", "gpt-4o"), study, 4)
    assert record["outcomes"]["answered"] == 10


DESIGN = "design: {factors: {model: [gpt-4o, gpt-4o-mini]}}\n"


def test_one_model_of_two(make_study: Make) -> None:
    fault = {"fault": "row_error", "rows": [1, 2], "status": 500, "batch": [1, 2]}
    study = make_study(faults=[fault], per_shard=12, rounds=1)
    study.rows = 24
    with (study.folder / "experiment.yaml").open("a") as spec:
        spec.write(DESIGN)
    assert check(study.run(), study, 4)["requests"]["owed"] == 4
    record = check(study.run(*AGAIN, "--model", "gpt-4o-mini"), study, 4)
    assert record["outcomes"] == {"answered": 22, "error": 2}
    owed = "SELECT DISTINCT model FROM results WHERE outcome = 'error'"
    assert study.query(owed) == [("gpt-4o",)]
    before = creates(study)
    assert study.run().status == 4  # a plain run asks for nothing of it
    assert creates(study) == before
    record = check(study.run(*AGAIN, "--outcome", "refused"), study, 0)
    assert record["outcomes"] == {"answered": 24}
    assert study.server.audit()["executions"]["rows"] == 24


def test_an_unfinished_run_is_finished_first(make_study: Make) -> None:
    study = make_study(delay=4.0)
    assert study.run("run", "experiment.yaml", "--yes", "--no-wait").status == 5
    ended = study.run(*AGAIN)
    assert ended.status == 2
    assert "batchflow run" in ended.stderr
    assert study.run().status == 0


def test_a_changed_study_is_not_asked_as_it_was(make_study: Make) -> None:
    study = made(make_study)
    spec = study.folder / "experiment.yaml"
    spec.write_text(spec.read_text().replace("Say something", "Tell me"))
    ended = study.run(*AGAIN, "--outcome", "refused")
    assert ended.status == 2
    assert str(study.run_folder.name) in ended.stderr
    assert study.run("retry", str(study.run_folder), "--yes", "--outcome", "refused,truncated,error").status == 0


UNPUBLISHED = {"round.before-publish", "round.after-publish", "journal.before-append:2", "journal.torn-append:2"}


@pytest.mark.parametrize(
    "window",
    [
        *slow("round.before-publish", "journal.before-append:2", "journal.torn-append:2", "journal.after-append:2"),
        *slow("upload.after-call", "start.after-intent", "start.after-receipt", "collect.between-files"),
        *slow("collect.after-event", "load.before-commit", "round.after-publish"),
        "start.after-create",
    ],
)
@pytest.mark.parametrize("then", [("--yes",), ("retry",)], ids=["run", "retry"])
def test_killed_while_asking_again(make_study: Make, window: str, then: tuple[str, ...]) -> None:
    study = made(make_study)
    command = (*AGAIN, "--outcome", "refused,truncated")
    assert study.run(*command, failpoint=window).status == -9
    published = window not in UNPUBLISHED
    ended = study.run(*command) if then == ("retry",) or not published else study.run()
    record = check(ended, study, 4)
    assert record["outcomes"] == {"answered": 11, "error": 1}
    executions = study.server.audit(detail=True)["executions"]
    assert (executions["rows"], executions["by_custom_id"]["max"]) == (13, 2)


def test_what_was_taken_over_is_asked_again_too(make_study: Make) -> None:
    study = made(make_study)
    spec = study.folder / "experiment.yaml"
    (study.folder / "rows.csv").write_text((study.folder / "rows.csv").read_text() + "13,one more\n")
    first = study.run()
    assert first.json()["requests"]["reused"] == 12
    spec.write_text(spec.read_text())
    study.rows = 13
    ended = study.run(*AGAIN, "--outcome", "refused,truncated,error")
    assert ended.status == 0, ended.stderr
    record = ended.json()
    assert record["outcomes"] == {"answered": 13}
    assert record["requests"]["reused"] == 9
    assert study.server.audit()["executions"]["rows"] == 11 + 1 + 3
    assert study.query("SELECT count(*) FROM results WHERE outcome = 'answered'") == [(13,)]
