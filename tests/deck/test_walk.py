"""The deck's commands against a real server: the whole walk, lost replies, batches that did not complete, deletions."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.deck.walking import Walker, server, write_requests
from tests.zygote import Zygote

STUDY = Path(__file__).parents[2] / "projects" / "image-appeal"
Make = Callable[..., Walker]


@pytest.fixture
def make(tmp_path: Path, zygote: Zygote) -> Iterator[Make]:
    with ExitStack() as stack:

        def walker(faults: Sequence[dict[str, Any]] = (), delay: float = 0.05) -> Walker:
            running = stack.enter_context(server(tmp_path, faults, delay))
            folder = tmp_path / "deck"
            folder.mkdir()
            return Walker(folder, zygote, running.base_url)

        yield walker


def batches(walker: Walker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = walker.json("list-batches")["batches"]
    return found


def test_the_walk_through_the_slides(make: Make) -> None:
    walker = make()
    assert walker.type("make-batch-file", str(STUDY / "prompt.json"), str(STUDY / "personas.csv")).status == 0
    uploaded = walker.type("upload-batch-file", "batch-requests.jsonl")
    file_id = uploaded.stderr.partition("File id: ")[2].split()[0]
    started = walker.type("start-batch", file_id, "--desc", "first try")
    assert f"Start 26 requests of {file_id}" in started.stderr
    assert "for gpt-4o at 127.0.0.1" in started.stderr
    batch_id = started.stderr.rpartition("get-batch-results ")[2].strip()
    walker.ended(batch_id)
    listed = walker.type("list-batches")
    assert batch_id in listed.stdout
    assert "26/0/26      100%  first try" in listed.stdout
    shown = walker.type("show-batch", batch_id).stdout
    assert "26 completed, 0 failed of 26 total requests" in shown
    assert f"input  {file_id} batch-requests.jsonl" in shown
    assert [line.split("batch ")[1] for line in shown.partition("Timeline (UTC)\n")[2].splitlines()] == [
        "created",
        "in progress",
        "finalizing",
        "completed",
    ]
    fetched = walker.type("get-batch-results", batch_id)
    assert (fetched.status, "Answers: 26 lines in batch-responses.jsonl" in fetched.stderr) == (0, True)
    answers = [json.loads(line) for line in (walker.folder / "batch-responses.jsonl").read_bytes().splitlines()]
    assert {answer["custom_id"] for answer in answers} == {f"id_{number}" for number in range(26)}
    assert not (walker.folder / "batch-responses-errors.jsonl").exists()
    assert walker.type("list-files").stdout.count("batch-requests.jsonl") == 1
    assert walker.type("delete-file", file_id).status == 0
    assert walker.type("delete-file", file_id).status == 2
    assert (walker.folder / ".batchflow" / ".gitignore").read_text() == "*\n"


def test_a_file_is_started_once_unless_told(make: Make) -> None:
    walker = make()
    file_id = walker.uploaded()
    first = walker.json("start-batch", file_id)["batch"]["id"]
    again = walker.type("start-batch", file_id)
    assert (again.status, first in again.stderr, "--again" in again.stderr) == (2, True, True)
    elsewhere = Walker(walker.folder.parent, walker._zygote, walker.base_url)
    assert elsewhere.type("start-batch", file_id).status == 2, "the record is elsewhere, the list shows it"
    walker.ended(first)
    assert walker.type("start-batch", file_id).status == 2
    second = walker.json("start-batch", file_id, "--again")
    assert (second["found_again"], second["batch"]["id"] == first) == (False, False)
    assert len(batches(walker)) == 2


def test_a_lost_reply_buys_nothing_twice(make: Make) -> None:
    walker = make([{"fault": "lost_reply", "on": "batches.create", "nth": 1}])
    file_id = walker.uploaded()
    started = walker.json("start-batch", file_id)
    assert started["found_again"] is False
    assert walker.type("start-batch", file_id).status == 2
    assert [batch["id"] for batch in batches(walker)] == [started["batch"]["id"]]


@pytest.mark.parametrize("window", ["start.after-create", "start.after-receipt"])
def test_a_crash_behind_the_create_buys_nothing_twice(make: Make, window: str) -> None:
    walker = make()
    file_id = walker.uploaded()
    assert walker.type("start-batch", file_id, failpoint=window).status == -9
    again = walker.type("start-batch", file_id, "--again" if window == "start.after-create" else "--yes")
    if window == "start.after-create":  # the doubt is settled before anything is bought, even with --again
        assert (again.status, "again; nothing was bought twice" in again.stderr) == (0, True)
    else:
        assert again.status == 2
    assert len(batches(walker)) == 1


def test_a_crash_before_the_create_is_found_out_and_made_good(make: Make) -> None:
    walker = make()
    file_id = walker.uploaded()
    assert walker.type("start-batch", file_id, failpoint="start.after-intent").status == -9
    refused = walker.type("delete-file", file_id)
    assert (refused.status, "may have been started" in refused.stderr) == (2, True)
    assert walker.type("start-batch", file_id, "--settle", "0.2").status == 0
    assert len(batches(walker)) == 1


@pytest.mark.parametrize("how", [{"fault": "spoilt_reply", "how": "html"}, {"fault": "lost_reply"}])
def test_a_cancel_without_a_readable_reply_is_repeated(make: Make, how: dict[str, Any]) -> None:
    walker = make([{**how, "on": "batches.cancel", "nth": 1}], delay=30)
    batch_id = walker.json("start-batch", walker.uploaded())["batch"]["id"]
    cancelled = walker.type("cancel-batch", batch_id)
    assert (cancelled.status, "is asked to end" in cancelled.stderr) == (0, True)
    assert walker.ended(batch_id)["status"] == "cancelled"


@pytest.mark.parametrize("out", ["t.json", "./d.csv", "link.jsonl", "pipe"])
def test_what_is_read_is_not_overwritten(make: Make, out: str) -> None:
    walker = make()
    (walker.folder / "t.json").write_text('{"model": "m", "messages": [{"role": "user", "content": "{{a}}"}]}')
    (walker.folder / "d.csv").write_text("a\nbears\n")
    (walker.folder / "link.jsonl").symlink_to("d.csv")
    os.mkfifo(walker.folder / "pipe")
    refused = walker.type("make-batch-file", "t.json", "d.csv", "--out", out, "--force")
    assert (refused.status, f"--out {Path(out)}" in refused.stderr) == (2, True)
    assert (walker.folder / "d.csv").read_text() == "a\nbears\n"
    assert (walker.folder / "t.json").read_text().startswith('{"model"')
    assert (walker.folder / "pipe").is_fifo()


def test_what_others_wrote_does_not_look_like_a_line_of_ours(make: Make) -> None:
    walker = make()
    labels = {"a\nStatus": "x\nStatus             completed"}
    body = {"input_file_id": "nope", "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": labels}
    httpx2.post(f"{walker.base_url}/batches", json=body, headers={"authorization": "Bearer sk-test"})
    shown = walker.type("show-batch", batches(walker)[0]["id"]).stdout
    assert [line for line in shown.splitlines() if line.startswith("Status")] == ["Status             failed"]
    (walker.folder / "r.jsonl").write_text('{"custom_id":"a\\nb: answered","body":{"model":"m","messages":[]}}\n')
    assert walker.type("utils", "display", "r.jsonl").stdout.splitlines()[0] == "a\\nb: answered: asks m"


def test_a_create_that_is_refused_is_on_record_and_can_be_tried_again(make: Make) -> None:
    fault = {"fault": "http_error", "on": "batches.create", "status": 429, "code": "insufficient_quota", "nth": 1}
    walker = make([fault])
    file_id = walker.uploaded()
    refused = walker.type("start-batch", file_id)
    assert (refused.status, "insufficient_quota" in refused.stderr) == (6, True)
    assert walker.type("start-batch", file_id).status == 0
    assert len(batches(walker)) == 1


def test_the_input_of_a_live_batch_is_not_deleted(make: Make) -> None:
    walker = make(delay=30)
    file_id = walker.uploaded()
    batch_id = walker.json("start-batch", file_id)["batch"]["id"]
    refused = walker.type("delete-file", file_id)
    assert (refused.status, f"is the input of {batch_id}" in refused.stderr) == (7, True)
    early = walker.type("get-batch-results", batch_id)
    assert (early.status, "it has not ended" in early.stderr) == (5, True)
    assert not (walker.folder / "batch-responses.jsonl").exists()
    assert walker.type("cancel-batch", batch_id).status == 0
    assert walker.ended(batch_id)["status"] == "cancelled"
    assert walker.type("get-batch-results", batch_id).status == 4
    assert walker.type("delete-file", file_id).status == 0


def test_an_expired_batch_gives_both_files(make: Make) -> None:
    walker = make([{"fault": "expire", "fraction": 0.6}])
    batch_id = walker.json("start-batch", walker.uploaded(5))["batch"]["id"]
    assert walker.ended(batch_id)["status"] == "expired"
    told = walker.json("get-batch-results", batch_id, status=4)
    assert (told["files"]["output"]["lines"], told["files"]["error"]["lines"]) == (3, 2)
    errors = (walker.folder / "batch-responses-errors.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["error"]["code"] for line in errors} == {"batch_expired"}
    again = walker.type("get-batch-results", batch_id)
    assert (again.status, "--force" in again.stderr) == (2, True)
    assert walker.type("get-batch-results", batch_id, "--force").status == 4


def test_a_cut_download_is_fetched_again_or_not_there(make: Make) -> None:
    cut = {"fault": "cut_download", "bytes": 100, "with_length": False}
    walker = make([{**cut, "nth": [2, 3]}])  # the first look is that of start-batch
    batch_id = walker.json("start-batch", walker.uploaded())["batch"]["id"]
    walker.ended(batch_id)
    told = walker.type("get-batch-results", batch_id)
    assert (told.status, "trying again" in told.stderr) == (0, True)
    assert len((walker.folder / "batch-responses.jsonl").read_bytes().splitlines()) == 5


def test_a_batch_that_failed_says_why(make: Make) -> None:
    walker = make([{"fault": "batch_failed", "code": "invalid_json_line", "line": 3, "message": "no JSON"}])
    batch_id = walker.json("start-batch", walker.uploaded())["batch"]["id"]
    assert walker.ended(batch_id)["status"] == "failed"
    assert "line 3: invalid_json_line: no JSON" in walker.type("show-batch", batch_id).stdout
    told = walker.type("get-batch-results", batch_id)
    assert (told.status, "It has written no file." in told.stderr) == (4, True)


def test_a_file_that_would_be_refused_is_not_sent(make: Make) -> None:
    walker = make()
    path = write_requests(walker.folder / "bad.jsonl", 3)
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n{\n")
    refused = walker.type("upload-batch-file", "bad.jsonl")
    assert refused.status == 3
    assert "bad.jsonl:4: the custom_id 'id_0' stands in an earlier line as well" in refused.stderr
    assert "bad.jsonl:5: the line is not JSON" in refused.stderr
    assert walker.json("list-files")["files"] == []


def test_lists_show_as_many_as_asked(make: Make) -> None:
    walker = make()
    ids = [walker.uploaded(number) for number in (1, 2, 3)]
    assert [file["id"] for file in walker.json("list-files", "--limit", "2")["files"]] == ids[:0:-1]
