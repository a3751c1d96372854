"""What a newcomer with the slides in hand does: the same file twice, an old file of the deck's tool, another folder,
a batch that expired, a loopback address that may lead anywhere.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from batchflow.cli.serve import _say_ready
from batchflow.errors import DataError
from batchflow.plan.batch_file import Order
from batchflow.plan.batch_file import make as make_batch
from batchflow.plan.checking import check
from batchflow.server.process import ServeOptions
from tests.deck.test_walk import Make, batches
from tests.deck.test_walk import make as make  # noqa: PLC0414 - a fixture
from tests.deck.walking import BODY, Walker, write_requests
from tests.zygote import Zygote

LISTED = [{"type": "image_url", "image_url": [{"url": "https://images.example/select.png"}]}]


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def request(number: int, url: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
    return {"custom_id": f"id_{number}", "method": "POST", "url": url, "body": {**BODY, **body}}


def test_whoever_listens_on_this_machine_is_asked_only_with_a_yes(make: Make) -> None:
    walker = make()
    file_id = walker.uploaded()
    for words in (
        ("start-batch", file_id),
        ("delete-file", file_id),
        ("utils", "chat-complete", "batch-requests.jsonl"),
    ):
        refused = walker.type(*words, agreed=False)
        assert (refused.status, "nobody is there to agree" in refused.stderr) == (2, True)
    assert batches(walker) == []
    started = walker.type("start-batch", file_id)
    assert "This costs money" in started.stderr


def test_the_same_content_is_not_bought_twice_silently(make: Make) -> None:
    walker = make()
    first = walker.uploaded()
    told = walker.type("upload-batch-file", "batch-requests.jsonl")
    assert f"the same content was uploaded before as {first} (not started yet)" in told.stderr
    batch_id = walker.json("start-batch", first)["batch"]["id"]
    again = walker.json("upload-batch-file", "batch-requests.jsonl")
    assert first in again["uploaded_before"]
    told = walker.type("upload-batch-file", "batch-requests.jsonl")
    assert f"as {first} (started: {batch_id})" in told.stderr
    second = again["uploaded"]["id"]
    refused = walker.type("start-batch", second)
    assert (refused.status, f"the content of {second} has been started already as {first}" in refused.stderr) == (
        2,
        True,
    )
    assert f"`batchflow get-batch-results {batch_id}`" in refused.stderr
    walker.ended(batch_id)
    assert walker.type("start-batch", second).status == 2
    assert walker.type("start-batch", second, "--again").status == 0
    assert len(batches(walker)) == 2


def test_the_label_at_the_provider_tells_it_where_no_record_does(make: Make) -> None:
    walker = make()
    batch_id = walker.json("start-batch", walker.uploaded())["batch"]["id"]
    (walker.folder / "other").mkdir()
    elsewhere = Walker(walker.folder / "other", walker._zygote, walker.base_url)
    file_id = elsewhere.uploaded()
    refused = elsewhere.type("start-batch", file_id)
    assert (refused.status, batch_id in refused.stderr) == (2, True)
    assert len(batches(walker)) == 1


def test_the_record_tells_it_where_the_provider_keeps_no_labels(make: Make) -> None:
    walker = make([{"fault": "drop_metadata"}])
    batch_id = walker.json("start-batch", walker.uploaded())["batch"]["id"]
    refused = walker.type("start-batch", walker.uploaded())
    assert (refused.status, batch_id in refused.stderr) == (2, True)


def test_a_start_in_doubt_holds_up_its_content_too(make: Make) -> None:
    walker = make()
    first = walker.uploaded()
    assert walker.type("start-batch", first, failpoint="start.after-intent").status == -9
    refused = walker.type("start-batch", walker.uploaded())
    assert (refused.status, f"uploaded before as {first}, whose batch may have been started" in refused.stderr) == (
        2,
        True,
    )
    assert batches(walker) == []


def test_what_did_nothing_does_not_count_as_bought(make: Make) -> None:
    walker = make([{"fault": "batch_failed", "code": "invalid_json_line", "line": 1, "message": "no", "nth": 1}])
    walker.ended(walker.json("start-batch", walker.uploaded())["batch"]["id"])
    assert walker.type("start-batch", walker.uploaded()).status == 0


def test_starting_is_no_problem_of_the_client(make: Make) -> None:
    walker = make()
    walker.type("start-batch", walker.uploaded())
    walker.type("start-batch", walker.uploaded())
    audit = walker.type("serve", "audit", walker.base_url)
    assert "No problems seen" in audit.stdout, audit.stdout


def test_an_image_in_a_list_is_told_and_refused_by_the_local_server(make: Make) -> None:
    walker = make()
    body = {"model": "gpt-4o", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": LISTED}]}
    (walker.folder / "body.json").write_text(json.dumps(body))
    (walker.folder / "rows.csv").write_text("id\n1\n2\n")
    note = "messages[1].content[0].image_url is a list, which OpenAI refuses; the API takes the object"
    assert note in walker.type("make-batch-file", "body.json", "rows.csv").stderr
    uploaded = walker.type("upload-batch-file", "batch-requests.jsonl")
    assert f"line 1 and 1 more: {note}" in uploaded.stderr
    batch_id = walker.json("start-batch", uploaded.stderr.partition("File id: ")[2].split()[0])["batch"]["id"]
    walker.ended(batch_id)
    told = walker.json("get-batch-results", batch_id, status=4)
    assert (told["files"]["output"], told["files"]["error"]["lines"]) == (None, 2)
    (error, _) = (
        json.loads(line) for line in (walker.folder / "batch-responses-errors.jsonl").read_text().splitlines()
    )
    assert error["response"]["status_code"] == 400
    assert error["response"]["body"]["error"]["param"] == "messages[1].content[0].image_url"


def test_the_odd_line_is_the_one_to_blame(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text(lines(request(0, "/v1/responses"), *(request(n) for n in range(1, 4))))
    with pytest.raises(DataError) as caught:
        check(tmp_path / "f.jsonl")
    assert [(fault.line, "goes to /v1/responses" in fault.cause) for fault in caught.value.faults] == [(1, True)]
    assert check(tmp_path / "f.jsonl", one_batch=False).requests == 4


def test_two_models_are_refused_before_the_upload(make: Make) -> None:
    walker = make()
    (walker.folder / "f.jsonl").write_text(lines(request(0), request(1, model="gpt-4o-mini"), request(2)))
    refused = walker.type("upload-batch-file", "f.jsonl")
    assert (refused.status, "f.jsonl:2: this line asks gpt-4o-mini, the others gpt-4o" in refused.stderr) == (3, True)
    assert walker.json("list-files")["files"] == []


def test_many_faults_are_counted_and_a_table_is_one_fault(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(lines(request(0), *({} for _ in range(30))))
    with pytest.raises(DataError) as caught:
        check(path)
    assert caught.value.text().startswith(
        "error[data-invalid]: 30 faults found, nothing was sent; the first 20 are shown"
    )
    path.write_text("id,topic\n" * 30)
    with pytest.raises(DataError, match="this is no batch file") as caught:
        check(path)
    assert caught.value.total == 1


def test_a_byte_order_mark_hides_no_other_fault(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + (lines(request(0)) * 2).encode())
    with pytest.raises(DataError) as caught:
        check(path)
    assert [fault.line for fault in caught.value.faults] == [1, 2]


def test_a_slot_that_no_row_can_fill_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": {{n}}}')
    (tmp_path / "rows.csv").write_text("n\n1\n" + "x\n" * 30)
    with pytest.raises(DataError) as caught:
        make_file(tmp_path)
    (fault,) = caught.value.faults
    assert fault.cause.startswith("row 2 (id '2'), column 'n': 'x' is not a number")
    assert fault.cause.endswith("so it is with rows 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 19 more")


def make_file(folder: Path) -> None:
    make_order = Order(folder / "body.json", folder / "rows.csv", folder / "out.jsonl")
    make_batch(make_order, lambda _done, _total: None)


def test_what_expired_is_asked_again_and_what_is_final_is_not(make: Make) -> None:
    refused = {"fault": "row_error", "rows": [1], "batch": 1, "status": 400}
    walker = make([{"fault": "expire", "fraction": 0.6, "nth": 1}, refused])
    file_id = walker.uploaded(5)
    batch_id = walker.json("start-batch", file_id)["batch"]["id"]
    walker.ended(batch_id)
    told = walker.type("get-batch-results", batch_id)
    assert told.status == 4
    assert "batchflow utils rest FILE batch-responses-errors.jsonl batch-responses.jsonl" in told.stderr
    results = ("batch-responses.jsonl", "batch-responses-errors.jsonl")
    account = walker.json("utils", "rest", "batch-requests.jsonl", *results)
    assert (account["requests"], account["final"], account["owed"]) == (5, 3, {"expired": 2})
    asked = (walker.folder / "batch-requests.jsonl").read_bytes().splitlines(keepends=True)
    assert (walker.folder / "batch-rest.jsonl").read_bytes() == b"".join(asked[3:])
    again = walker.json("start-batch", walker.json("upload-batch-file", "batch-rest.jsonl")["uploaded"]["id"])
    walker.ended(again["batch"]["id"])
    walker.type("get-batch-results", again["batch"]["id"], "--out", "rest.jsonl")
    more = (*results, "rest.jsonl", "rest-errors.jsonl")
    there = [name for name in more if (walker.folder / name).exists()]
    done = walker.type("utils", "rest", "batch-requests.jsonl", *there, "--out", "none.jsonl")
    assert (done.status, "nothing is owed: no file was written" in done.stderr) == (0, True)
    assert not (walker.folder / "none.jsonl").exists()


def test_a_result_that_cannot_be_read_may_be_a_paid_one(make: Make) -> None:
    walker = make()
    write_requests(walker.folder / "f.jsonl", 3)
    (walker.folder / "r.jsonl").write_text('{"custom_id": "id_0", "error": {"code": "batch_expired"}}\n{"cust\n')
    refused = walker.type("utils", "rest", "f.jsonl", "r.jsonl")
    assert (refused.status, "r.jsonl:2: the line is no result" in refused.stderr) == (3, True)
    (walker.folder / "r.jsonl").write_text('{"custom_id": "other", "error": {"code": "batch_expired"}}\n')
    refused = walker.type("utils", "rest", "f.jsonl", "r.jsonl")
    assert (refused.status, "answers a request of f.jsonl" in refused.stderr) == (2, True)
    assert not (walker.folder / "batch-rest.jsonl").exists()


def test_a_pasted_id_may_have_blanks_around_it(make: Make) -> None:
    walker = make()
    batch_id = walker.json("start-batch", f" {walker.uploaded()} ")["batch"]["id"]
    assert walker.type("show-batch", f"{batch_id} ").status == 0


def test_config_names_the_store_and_a_key_that_is_not_there(tmp_path: Path, zygote: Zygote) -> None:
    env = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    assert "OPENAI_API_KEY is not set" in zygote.run(tmp_path, ["utils", "config"], env).stdout
    local = zygote.run(tmp_path, ["utils", "config", "--provider", "local"], env)
    assert ".batchflow/server/ in this folder" in local.stdout


def test_an_address_without_v1_is_suspected(make: Make) -> None:
    walker = make()
    walker.base_url = walker.base_url.removesuffix("/v1")
    listed = walker.type("list-batches")
    assert (listed.status, "does the address lack /v1" in listed.stderr) == (6, True)
    shown = walker.type("show-batch", "batch_1")
    assert (shown.status, "lack /v1?" in shown.stderr) == (2, True)


def test_the_banner_can_be_pasted_and_says_that_faults_are_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHFLOW_SERVER_TOKEN", raising=False)
    _say_ready("http://127.0.0.1:8080/v1", ServeOptions(faults=Path("f.yaml")), as_json=False)
    told = capsys.readouterr().err
    assert told.endswith("\nexport OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=any\n")
    assert "Faults are on: it errs as f.yaml says" in told
