"""`--responder replay`: recorded answers found by body and draw, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchflow.errors import SetupError, UsageError
from batchflow.server.__main__ import main
from batchflow.server.replay import Replay, recordings
from batchflow.server.responder import Ask
from batchflow.server.responding import Responding
from tests.server.client import Client, file_of, line
from tests.server_process import ServerProcess


def _answered(custom_id: str, said: str, status: int = 200) -> dict[str, Any]:
    body = {"model": "gpt-4o-2024-08-06", "said": said, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    return {"custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Two rounds of a run: r-3 failed in the first and was answered in the second; r-1 and r-2 ask the same."""
    folder = tmp_path / "run"
    (folder / "requests").mkdir(parents=True)
    (folder / "responses").mkdir()
    lines = [line(1, text="same"), line(2, text="same"), line(3, text="late"), line(4, text="bad")]
    (folder / "requests" / "r1-00001.jsonl").write_bytes(file_of(lines))
    (folder / "requests" / "r2-00001.jsonl").write_bytes(file_of([line(9, text="late")]))
    answers = [_answered("r-2", "second"), _answered("r-1", "first"), _answered("foreign", "x")]
    (folder / "responses" / "r1-00001.output.jsonl").write_bytes(file_of(answers))
    failed = [_answered("r-3", "busy", 429), _answered("r-4", "no", 400), {"custom_id": "r-5", "response": None}]
    (folder / "responses" / "r1-00001.error.jsonl").write_bytes(file_of(failed))
    (folder / "responses" / "r2-00001.output.jsonl").write_bytes(file_of([_answered("r-9", "later")]))
    return folder


def _said(replay: Replay, text: str, draw: int = 1) -> tuple[int, Any]:
    body = line(1, text=text)["body"]
    reply = replay.reply(Ask(body, json.dumps(body).encode(), draw), 1)
    return reply.status, reply.body.get("said") or reply.body["error"]["message"]


@pytest.mark.parametrize("damage", [b"[" * 100_000, b"\xff", b'{"a":', b'{"custom_id":"r-1","response":{"x":1e999}}'])
def test_a_damaged_recording_is_named(tmp_path: Path, damage: bytes) -> None:
    asked, told = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    asked.write_bytes(file_of([line(1)]))
    told.write_bytes(damage + b"\n")
    for pair in (f"{asked}={told}", f"{told}={asked}"):
        with pytest.raises(SetupError, match="line 1 is not a"):
            Replay(recordings([pair]))


def test_a_recording_that_changes_or_counts_beyond_measure(tmp_path: Path) -> None:
    asked, told = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    asked.write_bytes(file_of([line(1, text="much")]))
    answer = {**_answered("r-1", "said"), "response": {"status_code": 200, "body": {"usage": {"prompt_tokens": 9**99}}}}
    told.write_bytes(b"\xef\xbb\xbf" + file_of([answer]))
    replay = Replay(recordings([f"{asked}={told}"]))
    body = line(1, text="much")["body"]
    assert replay.reply(Ask(body, json.dumps(body).encode(), 1), 1).prompt_tokens == 2**31
    told.write_bytes(b"{")
    assert _said(replay, "much") == (500, f"{told} changed since the server began to replay it.")


def test_answers_come_by_body_and_draw(run_folder: Path) -> None:
    replay = Replay(recordings([str(run_folder)]))
    assert replay.bodies == 3
    assert _said(replay, "same", 1) == (200, "first")
    assert _said(replay, "same", 2) == (200, "second")
    assert _said(replay, "late") == (200, "later")
    assert _said(replay, "bad") == (400, "no")
    assert "recorded 2 times, this is draw 3" in _said(replay, "same", 3)[1]
    status, message = _said(replay, "other")
    assert status == 404
    assert "was never recorded" in message


@pytest.fixture
def replaying(run_folder: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    pair = f"{run_folder}/requests/r2-00001.jsonl={run_folder}/responses/r2-00001.output.jsonl"
    extra = ["--responder", "replay", "--replay", str(run_folder), "--replay", pair]
    with ServerProcess(tmp_path / "store", extra=extra) as server:
        yield server


def test_a_batch_is_answered_from_a_runs_folder(replaying: ServerProcess) -> None:
    with Client(replaying) as client:
        batch = client.run([line(7, text="same"), line(8, text="unknown"), line(9, text="late")])
        said = {one["custom_id"]: one["response"]["body"]["said"] for one in client.results(batch["output_file_id"])}
        assert said == {"r-7": "first", "r-9": "later"}
        error = client.results(batch["error_file_id"])[0]
        assert (error["custom_id"], error["response"]["status_code"]) == ("r-8", 404)
        assert error["response"]["body"]["error"]["code"] == "not_recorded"
        assert batch["usage"]["total_tokens"] == 14
    health = replaying.request("GET", "/admin/health")
    assert (health["responder"], health["responder_version"], health["simulated"]) == ("replay", 1, False)


def test_what_cannot_be_replayed_is_said(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SetupError, match="nothing was recorded"):
        recordings([str(empty)])
    with pytest.raises(UsageError, match="no folder of a run"):
        recordings([str(tmp_path / "none")])
    with pytest.raises(SetupError, match="there is no file"):
        recordings([f"{run_folder}/requests/r1-00001.jsonl={tmp_path}/none"])
    (run_folder / "responses" / "r1-00001.output.jsonl").write_bytes(b"{}\n{torn")
    with pytest.raises(SetupError, match="line 2 is not a result line"):
        Replay(recordings([str(run_folder)]))
    assert main(["--store", str(tmp_path / "s"), "--responder", "replay", "--replay", str(run_folder)]) == 3
    assert "line 2 is not a result line" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("responding", "said"),
    [
        (Responding("never"), "--responder must be simulate or replay"),
        (Responding("replay"), "needs --replay"),
        (Responding(replay=("a",)), "--replay needs --responder replay"),
        (Responding("replay", ("a",), refusals=0.1), "are for simulated answers"),
        (Responding(refusals=0.6, truncations=0.5), "together at most 1"),
        (Responding(refusals=float("nan")), "shares from 0 to 1"),
    ],
)
def test_options_that_cannot_be_meant(responding: Responding, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        responding.check()


def test_rates_are_told_and_kept(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store", extra=["--refusals", "0.5", "--truncations", "0.5"]) as server:
        health = server.request("GET", "/admin/health")
        assert (health["refusals"], health["truncations"]) == (0.5, 0.5)
        with Client(server) as client:
            batch = client.run([line(number) for number in range(40)])
            choices = [one["response"]["body"]["choices"][0] for one in client.results(batch["output_file_id"])]
    kinds = {"refused" if choice["message"]["refusal"] else choice["finish_reason"] for choice in choices}
    assert kinds == {"refused", "length"}
