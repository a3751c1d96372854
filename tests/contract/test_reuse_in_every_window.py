"""Nothing is bought twice where runs share requests: edits that are taken back, runs that are damaged, plans that are
made anew. Through the real program.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.test_designs import Make, executed, ran, table
from tests.crash.harness import Study

ROWS = {str(number): f"topic {number - 1}" for number in range(1, 13)}
HALF_EXPIRED = [{"fault": "expire", "nth": [1], "fraction": 0.5}]


def most(study: Study) -> int:
    """How often a prompt was answered at the most."""
    found: dict[str, int] = {}
    for path in study.folder.glob("runs/*/responses/r[1-9]*output.jsonl"):
        run = path.parents[1]
        asked = {}
        for file in run.glob("requests/*.jsonl"):
            for line in map(json.loads, file.read_text().splitlines()):
                asked[line["custom_id"]] = line["body"]["messages"][0]["content"]
        for line in map(json.loads, path.read_text().splitlines()):
            prompt = asked[line["custom_id"]]
            found[prompt] = found.get(prompt, 0) + 1
    return max(found.values())


def test_what_is_owed_here_and_was_bought_there_is_taken_over_when_an_edit_is_taken_back(make_study: Make) -> None:
    study = make_study(per_shard=50, faults=HALF_EXPIRED, rounds=1)
    first = study.run()
    assert first.status == 4
    study.change(retry={"max_rounds": 3})
    table(study, ROWS | {"13": "one more"})
    assert ran(study.run())["requests"]["reused"] == 6
    table(study, ROWS)
    record = ran(study.run())
    assert record["requests"] == {"total": 12, "answered": 12, "failed": 0, "owed": 0, "reused": 12}
    assert (executed(study), most(study)) == (13, 1)
    assert record["run"] == first.json()["run"] + "-2"
    assert ran(study.run())["up_to_date"] is True
    listed = {entry["run"]: entry["state"] for entry in study.run("runs", "--json").json()["runs"]}
    assert listed[record["run"]] == "complete"  # though nothing of it was sent
    assert study.query("SELECT count(*) FROM results") == [(12,)]


def test_files_not_sent_yet_are_not_sent_once_another_run_has_their_answers(make_study: Make) -> None:
    study = make_study(per_shard=4, in_flight=1)
    assert study.run(failpoint="collect.after-event").status == -9
    first = study.run_folder
    table(study, ROWS | {"13": "one more"})
    if (busy := study.run()).status == 7:  # the second file may have gone out as well
        assert f"batchflow cancel runs/{first.name}" in busy.stderr
        study.run("cancel", str(first))
    bought = executed(study)
    assert bought < 12
    assert ran(study.run())["requests"]["reused"] == bought
    table(study, ROWS)
    assert ran(study.run())["requests"]["reused"] == 12
    assert (executed(study), most(study)) == (13, 1)


def test_what_a_living_run_will_ask_again_is_as_good_as_in_flight(make_study: Make) -> None:
    faults = [HALF_EXPIRED[0], {"fault": "stuck", "nth": [2]}]
    study = make_study(per_shard=6, faults=faults)
    env = os.environ | {"OPENAI_BASE_URL": study.server.base_url, "OPENAI_API_KEY": "sk-test"}
    command = [sys.executable, "-m", "batchflow", "run", str(study.folder / "experiment.yaml"), "--yes"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as living:
        try:
            deadline = time.monotonic() + 30
            while not (list(study.folder.glob("runs/[!.]*/journal.jsonl")) and study.events("collected")):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            table(study, ROWS | {"13": "one more"})
            busy = study.run()
        finally:
            living.kill()
    assert busy.status == 7
    assert "9 requests of this study are in flight" in busy.stderr


def test_a_run_that_was_made_to_ask_again_goes_on_asking(make_study: Make) -> None:
    study = make_study(per_shard=4, in_flight=1)
    ran(study.run())
    assert study.run("run", "experiment.yaml", "--yes", "--fresh", failpoint="collect.after-event").status == -9
    record = ran(study.run())
    assert record["requests"]["reused"] == 0
    assert executed(study) == 24


@pytest.mark.parametrize("damage", ["journal.jsonl", "manifest.json"])
def test_a_run_that_cannot_be_read_stops_what_it_may_have_bought(make_study: Make, damage: str) -> None:
    study = make_study()
    run = ran(study.run())["run"]
    path = study.folder / "runs" / run / damage
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"1", b"2", 40))
    table(study, ROWS | {"13": "one more"})
    refused = study.run()
    assert refused.status == 3
    assert run in refused.stderr
    assert "reuse: none" in refused.stderr
    assert executed(study) == 12
    assert study.run("plan", "experiment.yaml").status == 0
    path.write_bytes(whole)
    assert ran(study.run())["requests"]["reused"] == 12
    assert executed(study) == 13


@pytest.mark.parametrize("damage", ["gone", "edited"])
@pytest.mark.parametrize("owed", [False, True])
def test_answers_that_are_not_what_was_collected_are_neither_taken_over_nor_bought_again(
    make_study: Make, damage: str, owed: bool
) -> None:
    study = make_study(per_shard=50, faults=HALF_EXPIRED if owed else (), rounds=1)
    run = study.run().json()["run"]
    bought = executed(study)
    (path,) = (study.folder / "runs" / run / "responses").glob("*output*")
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole.replace(b"topic", b"t0pic"))
    table(study, ROWS | {"13": "one more"})
    refused = study.run()
    assert refused.status == 3
    assert "cannot be taken over" in refused.stderr
    assert executed(study) == bought
    path.write_bytes(whole)
    assert study.run().json()["requests"]["reused"] == bought


def only_holder(study: Study) -> Path:
    """Plan a run that takes answers over, and take away the run that bought them."""
    first = ran(study.run())["run"]
    table(study, ROWS | {"13": "one more"})
    planned = json.loads(study.run("plan", "experiment.yaml", "--json").stdout)
    assert planned["taken_over"] == 12
    shutil.rmtree(study.folder / "runs" / first)
    return study.folder / "runs" / str(planned["run"])


def test_a_plan_that_alone_holds_answers_is_not_replaced(make_study: Make) -> None:
    study = make_study(per_shard=50)
    holder = only_holder(study)
    study.change(reuse="none")
    assert study.run("plan", "experiment.yaml").status == 0
    assert holder.is_dir()
    study.change(reuse=None)
    assert ran(study.run())["requests"]["reused"] == 12
    assert executed(study) == 13


def test_a_crash_while_a_plan_is_made_anew_loses_no_answer(make_study: Make) -> None:
    study = make_study(per_shard=50)
    holder = only_holder(study)
    # another study buys the thirteenth meanwhile, so that the plan is made anew
    spec = (study.folder / "experiment.yaml").read_text()
    (study.folder / "other.yaml").write_text(spec.replace("name: crash", "name: other").replace("rows.csv", "o.csv"))
    (study.folder / "o.csv").write_text("id,topic\n1,one more\n")
    ran(study.run("run", "other.yaml", "--yes", "--json"))
    assert study.run(failpoint="build.before-publish").status == -9
    assert holder.is_dir()
    assert study.run(failpoint="build.after-publish").status == -9
    assert ran(study.run())["requests"]["reused"] == 13
    assert executed(study) == 13


def test_a_shared_answer_is_taken_over_from_the_line_that_asked_for_it(make_study: Make) -> None:
    study = make_study(per_shard=50)
    # conditions 2 to 12 ask the same; as text, the custom_id of the tenth comes before that of the second, which asks
    prompt = {"user": "On {{topic}}: {{ 'much' if dose|int > 1 else 'little' }}"}
    study.change(duplicates="share", design={"factors": {"dose": list(range(1, 13))}}, prompt=prompt)
    assert ran(study.run())["requests"]["total"] == 144
    table(study, ROWS | {"13": "one more"})
    assert ran(study.run())["requests"]["reused"] == 144
    assert executed(study) == 26
