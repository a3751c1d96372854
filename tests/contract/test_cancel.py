"""A run that its user has had enough of: batches end, what was paid for is kept, the rest is bought only if agreed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.harness import Study, slow
from tests.zygote import Ended

Make = Callable[..., Study]
CREATE = "POST /v1/batches"
CANCEL = "POST /v1/batches/{batch_id}/cancel"
RUN = ("run", "experiment.yaml", "--json")
LEAVE = (*RUN, "--yes", "--no-wait")
STOP = ("cancel", "experiment.yaml", "--json")
# of four batches two never begin
STUCK = {"fault": "stuck", "at": "in_progress", "nth": [1, 2]}
# what is cancelled goes on for a while
SLOW = {"fault": "slow_cancel", "seconds": 4.0}


def calls(study: Study) -> dict[str, int]:
    found: dict[str, int] = study.server.audit()["calls"]
    return found


def sent(study: Study, executed: int = 6) -> Study:
    """The study with its batches at the provider, which has worked on so many rows."""
    assert study.run(*LEAVE).status == 5
    while study.server.audit()["executions"]["rows"] < executed:
        time.sleep(0.05)
    time.sleep(0.6)
    return study


def check(ended: Ended, study: Study, status: int) -> dict[str, Any]:
    """The account of a command that ended so: journal, tables and the server's own agree on what was billed."""
    assert ended.status == status, ended.stderr
    record = ended.json()
    assert sum(record["outcomes"].values()) == record["requests"]["total"] == study.rows
    answered = record["requests"]["answered"]
    assert study.query("SELECT count(*) FROM results WHERE outcome = 'answered'") == [(answered,)]
    assert study.query("SELECT count(*), count(DISTINCT row_id) FROM results") == [(study.rows, study.rows)]
    return record


def bought_once(study: Study) -> None:
    executions = study.server.audit(detail=True)["executions"]
    assert executions["by_custom_id"]["max"] == 1, executions["by_custom_id"]["more_than_once"]


def test_what_was_answered_is_kept_and_the_rest_is_bought_only_if_agreed(make_study: Make) -> None:
    study = sent(make_study(faults=[STUCK]))
    ended = study.run(*STOP)
    record = check(ended, study, 4)
    assert record["state"] == "cancelled"
    assert record["outcomes"] == {"answered": 6, "cancelled": 6}
    bill = record["cancelled"]
    fetched_before = 12 - bill["requests"]  # a slow machine has fetched the others already
    assert fetched_before == 12 - 3 * bill["batches"] <= 6
    assert bill["answered"] + fetched_before == study.server.audit()["billed"]["requests"] == 6
    late = [event["payload"]["batch_id"] for event in study.events("collected")[fetched_before // 3 :]]
    tokens = study.query(
        "SELECT batch_id, coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0), "
        "coalesce(sum(cost_usd), 0) FROM responses GROUP BY 1"
    )
    told = [counts for batch_id, *counts in tokens if batch_id in late]
    assert sum(prompt for prompt, _, _ in told) == bill["prompt_tokens"]
    assert sum(completion for _, completion, _ in told) == bill["completion_tokens"]
    # what the answers have cost, and not a word on what the others would have
    assert bill["cost_usd"] == pytest.approx(sum(cost for *_, cost in told))
    assert record["cost_usd"] == pytest.approx(sum(cost for *_, cost in tokens))
    assert record["cost_usd"] > 0
    assert (" by their usage." in ended.stderr, bill["unpriced"]) == (True, 0)
    assert f"({record['usage']['prompt_tokens']:,} input and" in ended.stderr
    assert (calls(study)[CREATE], calls(study)[CANCEL]) == (4, 2)
    assert study.run("status", "experiment.yaml", "--json").json()["state"] == "cancelled"
    assert study.run("runs", "--json").json()["runs"][0]["state"] == "cancelled"
    # nobody agrees
    refused = study.run(*RUN)
    assert refused.status == 2
    assert "This run was cancelled" in refused.stderr
    assert "--yes" in refused.stderr
    assert calls(study)[CREATE] == 4
    # somebody does
    record = check(study.run(), study, 0)
    assert (record["state"], record["rounds"]) == ("complete", 2)
    bought_once(study)


def test_what_is_paid_for_at_no_known_price_is_said(make_study: Make) -> None:
    study = make_study(per_shard=12, delay=4.0)
    study.change(parameters={"model": "my-own"})
    sent(study, 1)
    ended = study.run(*STOP)
    record = ended.json()
    assert 0 < record["cancelled"]["unpriced"] == record["requests"]["answered"]
    assert (record["cancelled"]["cost_usd"], record["cost_usd"]) == (None, None)
    assert "what they cost is not known" in ended.stderr


def test_a_round_spent_by_cancelling_is_not_counted(make_study: Make) -> None:
    study = sent(make_study(faults=[STUCK], rounds=1))
    check(study.run(*STOP), study, 4)
    check(study.run(), study, 0)
    study.check_account()


def test_shards_never_sent_are_sent_later(make_study: Make) -> None:
    study = sent(make_study(faults=[{**STUCK, "nth": [1]}], in_flight=1), 0)
    ended = study.run(*STOP)
    assert "not sent yet will not be sent" in ended.stderr
    record = check(ended, study, 4)
    assert record["outcomes"]["unsent"] == 9
    assert calls(study)[CREATE] == 1
    assert check(study.run(), study, 0)["rounds"] == 2
    study.check_account()


def test_cancelling_that_takes_its_time(make_study: Make) -> None:
    study = sent(make_study(faults=[STUCK, {**SLOW, "seconds": 8.0}]))
    left = study.run(*STOP, "--no-wait")
    assert left.status == 5
    assert left.json()["state"] == "in_progress"
    shown = study.run("status", "experiment.yaml", "--json").json()
    assert shown["cancelling"] is True
    assert study.run("forget", "experiment.yaml", "--yes").status == 7
    assert study.run(*RUN, "--no-wait").status == 5  # a run in the meantime buys nothing
    record = check(study.run(*STOP), study, 0)
    assert record["state"] == "complete"  # answers came after the cancel was sent
    assert calls(study)[CANCEL] == 2
    before = calls(study)
    check(study.run(), study, 0)
    assert calls(study) == before
    study.check_account()


def test_a_run_collects_what_a_cancel_left(make_study: Make) -> None:
    study = sent(make_study(faults=[STUCK, SLOW]))
    assert study.run(*STOP, "--no-wait").status == 5
    record = check(study.run(), study, 0)
    assert record["state"] == "complete"
    study.check_account()


def test_cancel_races_completion(make_study: Make) -> None:
    """The batches have ended before anybody asks: 409, or seen before."""
    study = sent(make_study(faults=[{"fault": "status", "value": "pondering", "seconds": 6}]), 12)
    time.sleep(7)
    record = check(study.run(*STOP), study, 0)
    assert record["state"] == "complete"
    assert not calls(study).get(CANCEL)
    before = calls(study)
    again = study.run()
    assert again.status == 0
    assert calls(study) == before
    bought_once(study)


@pytest.mark.parametrize(
    "faults",
    [
        [{"fault": "lost_reply", "on": "batches.cancel", "nth": [1, 3]}],
        [{"fault": "http_error", "on": "batches.cancel", "status": 404, "nth": [1]}],
        *slow(
            [{"fault": "http_error", "on": "batches.cancel", "status": 409, "nth": [1, 2]}],
            [{"fault": "http_error", "on": "batches.cancel", "status": 500, "nth": [1, 2, 3]}],
            [{"fault": "spoilt_reply", "on": "batches.cancel", "how": "html", "nth": [2]}],
        ),
    ],
)
def test_a_cancel_that_goes_wrong_is_asked_again(make_study: Make, faults: list[dict[str, Any]]) -> None:
    study = sent(make_study(faults=[STUCK, *faults]))
    assert check(study.run(*STOP), study, 4)["state"] == "cancelled"
    check(study.run(), study, 0)
    study.check_account()


def test_a_provider_that_never_cancels_is_waited_for(make_study: Make) -> None:
    study = sent(make_study(delay=4.0, faults=[{"fault": "http_error", "on": "batches.cancel", "status": 405}]), 1)
    ended = study.run(*STOP)
    assert "trying again" in ended.stderr
    check(ended, study, 0)
    study.check_account()


def test_a_batch_in_doubt_is_found_and_cancelled(make_study: Make) -> None:
    study = make_study(per_shard=12, faults=[{**STUCK, "nth": [1]}])
    assert study.run(failpoint="start.after-create").status == -9
    record = check(study.run(*STOP), study, 4)
    assert (record["state"], record["batches"]) == ("cancelled", 1)
    assert [event["payload"]["adopted"] for event in study.events("receipt")] == [True]
    assert (calls(study)[CREATE], calls(study)[CANCEL]) == (1, 1)
    check(study.run(), study, 0)
    study.check_account()


def test_a_batch_in_doubt_that_never_was_is_not_made(make_study: Make) -> None:
    study = make_study(per_shard=12)
    assert study.run(failpoint="start.after-intent").status == -9
    record = check(study.run(*STOP), study, 4)
    assert (record["state"], record["outcomes"]) == ("cancelled", {"unsent": 12})
    assert not calls(study).get(CREATE)
    check(study.run(), study, 0)
    study.check_account()


def test_a_batch_that_fails_meanwhile_is_no_fault_of_the_cancel(make_study: Make) -> None:
    faults = [{"fault": "batch_failed", "code": "invalid_request", "nth": [1]}]
    study = sent(make_study(per_shard=6, faults=faults, delay=1.0))
    record = check(study.run(*STOP), study, 4)
    assert record["outcomes"] == {"answered": 6, "unsent": 6}
    check(study.run(), study, 0)
    study.check_account()


def test_nothing_was_sent_nothing_is_cancelled(make_study: Make) -> None:
    study = make_study()
    assert study.run("plan", "experiment.yaml").status == 0
    ended = study.run(*STOP)
    assert ended.status == 4
    assert "nothing to cancel" in ended.stderr
    assert not study.events("cancel")
    assert study.run().status == 0


def test_an_ended_run_stays_what_it_is(make_study: Make) -> None:
    study = make_study()
    assert study.run().status == 0
    before = calls(study)
    ended = study.run(*STOP)
    assert ended.status == 0
    assert "nothing to cancel" in ended.stderr
    assert calls(study) == before
    assert not study.events("cancel")


def test_cancelled_twice_is_cancelled_once(make_study: Make) -> None:
    study = sent(make_study(faults=[STUCK]))
    first = check(study.run(*STOP), study, 4)
    before = calls(study)
    assert check(study.run(*STOP), study, 4) == first
    assert calls(study) == before
    assert len(study.events("cancel")) == 1


def test_another_process_is_to_be_stopped_first(make_study: Make) -> None:
    study = make_study(faults=[STUCK])
    env = {**os.environ, "OPENAI_BASE_URL": study.server.base_url, "OPENAI_API_KEY": "sk-test"}
    command = [sys.executable, "-m", "batchflow", "run", "experiment.yaml", "--yes"]
    with subprocess.Popen(command, cwd=study.folder, env=env, stderr=subprocess.DEVNULL) as first:
        while not study.server.audit()["calls"].get(CREATE):
            time.sleep(0.05)
        busy = study.run(*STOP)
        forgotten = study.run("forget", "experiment.yaml", "--yes")
        first.terminate()
        assert first.wait() == 130
    assert (busy.status, forgotten.status) == (7, 7)
    assert "Ctrl-C is harmless" in busy.stderr
    assert study.run(*STOP).status == 4


@pytest.mark.parametrize(
    "window",
    [
        *slow("cancel.after-event", "cancel.after-call:2", "poll.before-event"),
        *slow("collect.between-files:2", "load.before-commit", "run.before-finish", "journal.after-append:2"),
        *slow("journal.torn-append:2", "journal.before-append:3", "collect.after-event"),
        "cancel.after-call",
    ],
)
@pytest.mark.parametrize("then", ["cancel", "run"])
def test_killed_while_cancelling(make_study: Make, window: str, then: str) -> None:
    study = sent(make_study(faults=[STUCK]))
    assert study.run(*STOP, failpoint=window).status == -9
    if then == "cancel" or window == "journal.torn-append:2":  # there the cancel itself is not on record
        record = check(study.run(*STOP), study, 4)
        assert record["state"] == "cancelled"
        assert calls(study)[CREATE] == 4
    check(study.run(), study, 0)
    study.check_account()


def test_cancelled_again_and_again(make_study: Make) -> None:
    study = make_study(faults=[{**STUCK, "nth": [1, 2, 5, 6]}], rounds=1)
    for _ in range(2):
        sent(study)
        check(study.run(*STOP), study, 4)
    check(study.run(), study, 0)
    study.check_account()


def test_the_local_provider_is_cancelled_and_resumed_unasked(make_study: Make) -> None:
    study = make_study()
    local = ("run", "experiment.yaml", "--provider", "local", "--json")
    assert study.run(*local, failpoint="start.after-receipt:2").status == -9
    folder = str(study.run_folder)
    ended = study.run("cancel", folder, "--json")
    assert ended.status in {0, 4}, ended.stderr
    assert "SIMULATED" in ended.stderr
    assert "billed, with" not in ended.stderr
    assert ended.json()["cancelled"]["cost_usd"] == 0
    assert study.run(*local).status == 0
