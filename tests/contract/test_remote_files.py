"""What stays at the provider: how long it is told to keep files, and what is deleted there, by the program itself."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_cancel import STUCK, calls, sent
from tests.crash.harness import Study
from tests.server.client import Client
from tests.zygote import Ended, Zygote

Make = Callable[..., Study]
DELETE = "DELETE /v1/files/{file_id}"
DELETES = {"output": {"delete_remote": True}}
DAY = 86_400
EXPIRE = {"fault": "expire", "nth": [2], "fraction": 0.5}
BOTH = ["files.create", "batches.create"]


def there(study: Study) -> list[dict[str, Any]]:
    """The files at the provider."""
    found: list[dict[str, Any]] = study.server.request("GET", "/v1/files")["data"]
    return found


def ended(study: Study, status: int = 0) -> Ended:
    told = study.run()
    assert told.status == status, told.stderr
    return told


def remote(told: Ended) -> dict[str, Any]:
    found: dict[str, Any] = told.json()["remote"]
    return found


def seen(study: Study) -> dict[str, dict[str, int]]:
    """What the server noticed of its client."""
    found: dict[str, dict[str, int]] = study.server.audit(detail=True)["problems"]
    return found


def until(comes: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not comes():
        assert time.monotonic() < end
        time.sleep(0.02)


def expiring(study: Study, after: str = "7d", **output: Any) -> Study:
    study.change(output={"expires_after": after, **output})
    return study


# how long files are kept


def test_the_provider_is_told_how_long_to_keep_files_and_what_it_says_is_recorded(make_study: Make) -> None:
    study = make_study()
    plain = study.run("plan", "experiment.yaml", "--json").json()
    expiring(study)
    assert study.run("plan", "experiment.yaml", "--json").json()["run"] == plain["run"]  # no request changes by it
    told = ended(study)
    assert told.json()["run"] == plain["run"]
    assert {file["expires_at"] - file["created_at"] for file in there(study)} == {7 * DAY}
    assert len(there(study)) == 8
    assert remote(told) == {"expiring": 8, "unconfirmed": 0, "deleted": 0, "left": []}
    assert "warning" not in told.stderr
    for event in study.events("uploaded"):
        expiry = event["payload"]["expiry"]
        assert (expiry["asked"], expiry["expires_at"] - expiry["created_at"]) == (7 * DAY, 7 * DAY)
    for event in study.events("collected"):
        expiry = event["payload"]["files"][0]["expiry"]
        assert (expiry["asked"], expiry["expires_at"] - expiry["created_at"]) == (7 * DAY, 7 * DAY)
    assert {event["payload"]["output_expires_after"] for event in study.events("intent")} == {7 * DAY}
    study.check_account()


def test_request_files_outlive_the_batches_that_read_them(make_study: Make) -> None:
    study = expiring(make_study(), "1h")
    ended(study)
    lives = {file["purpose"]: file["expires_at"] - file["created_at"] for file in there(study)}
    assert lives == {"batch": 3 * DAY, "batch_output": 3600}


def test_without_the_key_nothing_is_said_of_it(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "no_expiry", "on": BOTH}])  # who would refuse it
    assert remote(ended(study)) == {"expiring": 0, "unconfirmed": 0, "deleted": 0, "left": []}
    assert "expiry" not in (study.run_folder / "journal.jsonl").read_text()
    assert "expires_after" not in (study.run_folder / "journal.jsonl").read_text()


@pytest.mark.parametrize("where", BOTH)
def test_a_provider_that_refuses_it_is_told_of_with_the_remedy(where: str, make_study: Make) -> None:
    study = expiring(make_study(faults=[{"fault": "no_expiry", "on": where}]))
    told = ended(study, 6)
    assert "expires_after" in told.stderr
    assert "remove it in the spec and run the same command again" in told.stderr
    run = study.run_folder
    study.change(output=None)
    assert ended(study).json()["folder"] == f"runs/{run.name}"  # the same run goes on
    study.check_account()


def test_a_refusal_that_does_not_name_it_names_the_suspect(make_study: Make) -> None:
    refusal = {"fault": "http_error", "on": "batches.create", "status": 422, "message": "Extra inputs"}
    study = expiring(make_study(faults=[refusal]))
    assert "if this provider does not know `output.expires_after`, removing it" in ended(study, 6).stderr
    study.change(output=None)
    assert "expires_after" not in ended(study, 6).stderr


@pytest.mark.parametrize(("where", "unconfirmed"), [("files.create", 4), ("batches.create", 4), (BOTH, 8)])
def test_a_provider_that_ignores_it_is_noted(where: Any, unconfirmed: int, make_study: Make) -> None:
    study = expiring(make_study(faults=[{"fault": "no_expiry", "on": where, "how": "ignored"}]))
    told = ended(study)
    assert remote(told)["unconfirmed"] == unconfirmed
    words = f"warning: the provider does not say of {unconfirmed} of 8 files that it deletes them in time"
    assert words in told.stderr
    assert words in study.run("status", "experiment.yaml").stdout
    study.check_account()


@pytest.mark.parametrize("status", [404, 400])
def test_a_file_of_which_nothing_can_be_learnt_holds_up_no_answers(status: int, make_study: Make) -> None:
    faults = [{"fault": "http_error", "on": "files.retrieve", "status": status}]
    study = expiring(make_study(faults=faults))
    assert remote(ended(study)) == {"expiring": 8, "unconfirmed": 4, "deleted": 0, "left": []}
    study.check_account()


def test_the_key_holds_from_when_it_is_set(make_study: Make) -> None:
    study = make_study()
    assert study.run("run", "experiment.yaml", "--yes", "--until", "upload").status == 5
    expiring(study)
    ended(study)
    lives = {file["purpose"]: file["expires_at"] - file["created_at"] for file in there(study)}
    assert lives == {"batch": 30 * DAY, "batch_output": 7 * DAY}


def test_a_batch_found_again_was_told_too(make_study: Make) -> None:
    study = expiring(make_study(faults=[{"fault": "lost_reply", "on": "batches.create", "nth": [1]}]))
    assert remote(ended(study)) == {"expiring": 8, "unconfirmed": 0, "deleted": 0, "left": []}
    assert any(event["payload"]["adopted"] for event in study.events("receipt"))


def test_answers_that_expired_before_they_were_fetched_are_owed(make_study: Make) -> None:
    study = expiring(make_study(per_shard=12, rounds=1), "1h")
    study.server.extra = ("--speed", "3600")
    study.server.restart()
    assert study.run("run", "experiment.yaml", "--yes", "--until", "start").status == 5
    until(lambda: len(there(study)) == 2)  # not fetched while they are there
    until(lambda: len(there(study)) == 1)
    told = ended(study, 4)
    assert told.json()["outcomes"] == {"missing": 12}
    assert study.server.audit()["billed"]["requests"] == 12


# what is deleted


def test_a_run_that_has_ended_leaves_nothing_there(make_study: Make) -> None:
    study = make_study(faults=[EXPIRE])
    study.change(**DELETES)
    told = ended(study)
    assert told.json()["rounds"] == 2
    assert there(study) == []
    deleted = [event["payload"] for event in study.events("deleted")]
    assert len(deleted) == calls(study)[DELETE] == remote(told)["deleted"] == 11
    assert {(each["what"], each["found"]) for each in deleted} == {("request", True), ("output", True), ("error", True)}
    assert f"Deleted at the provider: {len(deleted)} files." in told.stderr
    assert "Deleted at the provider: 11 files." in study.run("status", "experiment.yaml").stdout
    assert study.run("status", "experiment.yaml", "--json").json()["remote"] == remote(told)
    assert "deleted the input of an open batch" not in seen(study)
    study.check_account()
    # nothing is left to do: no call
    before = calls(study)
    again = ended(study)
    assert again.json()["up_to_date"] is True
    assert calls(study) == before
    # the tables are made from what is here
    (study.folder / "results.duckdb").unlink()
    assert study.run("load", "experiment.yaml", "--rebuild").status == 0
    study.check_account()
    # and what asks again sends anew, and deletes that, too
    assert study.run("retry", "experiment.yaml", "--outcome", "answered", "--yes", "--json").status == 0
    assert there(study) == []


def test_without_the_key_everything_stays(make_study: Make) -> None:
    study = make_study()
    ended(study)
    assert (len(there(study)), calls(study).get(DELETE, 0)) == (8, 0)
    # said later, it is done by the next run
    study.change(**DELETES)
    status = study.run("status", "experiment.yaml")
    assert "not deleted yet: `run` does it" in status.stdout
    study.run("run", "experiment.yaml", "--yes", "--until", "poll")  # which is not the end
    assert calls(study).get(DELETE, 0) == 0
    told = ended(study)
    assert (remote(told)["deleted"], told.json()["up_to_date"], there(study)) == (8, False, [])
    assert "no call was made" not in told.stderr
    study.change(output=None)
    assert remote(ended(study)) == {"expiring": 0, "unconfirmed": 0, "deleted": 8, "left": []}


def test_nothing_is_deleted_before_the_run_has_ended(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "stuck", "at": "in_progress", "nth": [1]}])
    study.change(**DELETES)
    assert study.run("run", "experiment.yaml", "--yes", "--no-wait").status == 5
    until(lambda: study.server.audit()["executions"]["rows"] == 9)
    told = study.run("run", "experiment.yaml", "--yes", "--no-wait", "--json")
    assert told.status == 5
    assert calls(study).get(DELETE, 0) == 0
    left = remote(told)["left"]
    assert {each["why"] for each in left} == {"the run is not finished"}
    assert "To be deleted there when the run has ended: 7 files" in study.run("status", "experiment.yaml").stdout


def test_nothing_is_deleted_before_the_answers_are_in_the_tables(make_study: Make) -> None:
    study = make_study()
    study.change(**DELETES)
    told = study.run("run", "experiment.yaml", "--yes", "--until", "collect", "--json")
    assert (told.status, told.json()["state"], calls(study).get(DELETE, 0)) == (5, "complete", 0)
    assert remote(ended(study))["deleted"] == 8


def test_the_input_of_somebody_elses_live_batch_stays(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "stuck", "at": "in_progress", "nth": [5]}])
    ended(study)
    uploaded = study.events("uploaded")[0]
    first, shard = uploaded["payload"]["file_id"], f"r1-{uploaded['shard']:05d}"
    with Client(study.server) as client:
        other = client.create(first).json()["id"]
        study.change(**DELETES)
        told = ended(study)
        assert remote(told)["left"] == [
            {"file_id": first, "what": "request", "shard": shard, "why": f"{other} reads it, and has not ended"}
        ]
        assert [file["id"] for file in there(study)] == [first]
        assert "deleted the input of an open batch" not in seen(study)
        assert study.events("left")[0]["payload"]["files"] == [{"file_id": first}]
        ended(study)
        assert len(study.events("left")) == 1  # the same reason is recorded once
        client.http.post(f"/batches/{other}/cancel")
        client.wait(other)
    assert remote(ended(study))["left"] == []
    assert first not in {file["id"] for file in there(study)}


def test_what_is_not_ours_stays(make_study: Make) -> None:
    study = make_study()
    study.change(**DELETES)
    with Client(study.server) as client:
        foreign = client.upload([b'{"custom_id":"x"}\n']).json()["id"]
    ended(study)
    assert [file["id"] for file in there(study)] == [foreign]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda run: (run / "responses" / "r1-00002.output.jsonl").unlink(), id="answers-gone"),
        pytest.param(lambda run: (run / "responses" / "r1-00002.output.jsonl").open("ab").write(b"\n"), id="changed"),
        pytest.param(lambda run: (run / "requests" / "r1-00002.jsonl").unlink(), id="requests-gone"),
    ],
)
def test_what_is_not_whole_here_is_not_deleted_there(spoil: Callable[[Path], Any], make_study: Make) -> None:
    study = make_study()
    ended(study)
    shutil.copytree(study.run_folder, study.folder / "kept")
    spoil(study.run_folder)
    study.change(**DELETES)
    told = ended(study)
    assert {(each["shard"], each["what"]) for each in remote(told)["left"]} == {
        ("r1-00002", "request"), ("r1-00002", "output")
    }  # fmt: skip
    assert "what is in this run's folder is not what was sent, or fetched" in told.stderr
    assert len(there(study)) == 2
    for name in ("requests", "responses"):
        shutil.copytree(study.folder / "kept" / name, study.run_folder / name, dirs_exist_ok=True)
    ended(study)
    assert there(study) == []


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        ({"fault": "http_error", "on": "files.delete", "status": 403, "message": "not allowed"}, 8),
        ({"fault": "http_error", "on": "files.delete", "status": 400, "message": "in use", "nth": [2]}, 1),
        ({"fault": "http_error", "on": "files.delete", "status": 500}, 8),
        pytest.param(
            {"fault": "http_error", "on": "files.delete", "status": 404}, 8, marks=pytest.mark.slow
        ),  # a service that has no such call
        pytest.param(
            {"fault": "spoilt_reply", "on": "files.delete", "how": "html", "nth": [1, 3]}, 0, marks=pytest.mark.slow
        ),
        ({"fault": "lost_reply", "on": "files.delete", "nth": [1, 2, 3]}, 0),
        ({"fault": "list_damaged", "how": "null_data"}, 8),
        pytest.param({"fault": "list_damaged", "how": "repeat_page"}, 8, marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, int) else f"{value['fault']}-{value.get('status', '')}",
)
def test_a_deletion_that_fails_is_a_warning_and_tried_again(fault: dict[str, Any], left: int, make_study: Make) -> None:
    study = make_study(faults=[fault])
    study.change(**DELETES)
    told = ended(study)
    assert len(remote(told)["left"]) == len(there(study)) == left
    assert remote(told)["deleted"] == 8 - left
    if left:
        assert "Left at the provider: " in told.stderr
        assert all(each["why"] for each in remote(told)["left"])
        assert "Left at the provider: " in study.run("status", "experiment.yaml").stdout
        study.server.faults = []
        study.server.restart()
        assert remote(ended(study)) == {"expiring": 0, "unconfirmed": 0, "deleted": 8, "left": []}
    study.check_account()


def test_what_was_deleted_there_by_hand_counts_as_deleted(make_study: Make) -> None:
    study = make_study()
    ended(study)
    with Client(study.server) as client:
        for file in there(study)[:3]:
            client.http.delete(f"/files/{file['id']}")
    study.change(**DELETES)
    assert remote(ended(study))["deleted"] == 8
    assert [event["payload"]["found"] for event in study.events("deleted")].count(False) == 3


def test_another_key_deletes_nothing_and_believes_nothing(make_study: Make) -> None:
    study = make_study()
    ended(study)
    study.change(**DELETES)
    told = study.run(key="sk-of-another-project")
    assert told.status == 0
    assert (remote(told)["deleted"], len(remote(told)["left"])) == (0, 8)
    assert "another key, project or address?" in told.stderr
    assert len(there(study)) == 8
    assert remote(ended(study))["deleted"] == 8


def test_answers_that_were_never_fetched_stay(make_study: Make) -> None:
    faults = [{"fault": "http_error", "on": "files.content", "status": 404}]
    faults.append({"fault": "http_error", "on": "files.retrieve", "status": 404})
    study = make_study(faults=faults, rounds=1, per_shard=12, settle="0.1s")
    study.change(**DELETES)
    told = ended(study, 4)
    assert [(each["what"], each["why"]) for each in remote(told)["left"]] == [
        ("output", "its answers were never fetched: the provider did not have it")
    ]
    assert [file["purpose"] for file in there(study)] == ["batch_output"]


def test_a_cancelled_run_leaves_nothing_and_goes_on_all_the_same(make_study: Make) -> None:
    study = make_study(faults=[{**STUCK, "nth": [1]}], in_flight=1)
    study.change(**DELETES)
    sent(study, 0)
    told = study.run("cancel", "experiment.yaml", "--json")
    assert told.status == 4, told.stderr
    assert len(study.events("uploaded")) > 1  # some are there that no batch reads yet
    assert (there(study), remote(told)["left"]) == ([], [])
    assert ended(study).json()["state"] == "complete"
    assert there(study) == []
    study.check_account()


def test_an_error_of_the_run_comes_before_any_deletion(make_study: Make) -> None:
    study = make_study(faults=[{"fault": "batch_failed", "nth": [2], "code": "invalid_url"}])
    study.change(**DELETES)
    ended(study, 6)
    assert calls(study).get(DELETE, 0) == 0
    assert remote(ended(study))["left"] == []
    study.check_account()


def test_the_local_provider_deletes_too(tmp_path: Path, zygote: Zygote) -> None:
    (tmp_path / "rows.csv").write_text("id,topic\n1,tea\n2,milk\n")
    spec = {
        "version": 1, "name": "local", "data": {"source": "rows.csv"}, "prompt": {"user": "{{topic}}"},
        "parameters": {"model": "gpt-4o"}, "polling": {"interval": "0.1s"},
        "output": {"expires_after": "1h", "delete_remote": True},
    }  # fmt: skip
    (tmp_path / "experiment.yaml").write_text(json.dumps(spec))
    told = zygote.run(tmp_path, ["run", ".", "--json"])
    assert remote(told) == {"expiring": 2, "unconfirmed": 0, "deleted": 2, "left": []}
    assert list((tmp_path / told.json()["folder"] / "server" / "files").iterdir()) == []
    assert zygote.run(tmp_path, ["run", ".", "--json"]).json()["up_to_date"] is True


@pytest.mark.parametrize("window", ["delete.before-call:3", "delete.after-call:3", "delete.after-event:3"])
def test_a_death_in_the_middle_leaves_nothing_there_in_the_end(window: str, make_study: Make) -> None:
    study = make_study()
    study.change(**DELETES)
    assert study.run(failpoint=window).status == -9
    assert len(study.events("deleted")) == (3 if "after-event" in window else len(study.events("deleted"))) < 8
    assert remote(ended(study))["deleted"] == 8
    ids = [event["payload"]["file_id"] for event in study.events("deleted")]
    assert (len(ids), len(set(ids)), there(study)) == (8, 8, [])
    study.check_account()
