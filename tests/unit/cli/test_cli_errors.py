"""What users read when the command line cannot do what they typed: word for word, with the exit status.

`BATCHFLOW_UPDATE_GOLDEN=1 pytest tests/unit/cli` rewrites the texts; read the diff.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from batchflow.journal.events import Event, encode
from tests.unit.cli.golden import QUIET, check, masked
from tests.zygote import Zygote

SPEC = """\
version: 1
name: small
data: {source: rows.csv, id: id}
prompt: {user: "Say something about {{ topic }}"}
parameters: {model: gpt-4o-mini}
provider: {name: local}
polling: {interval: 0.1s}
"""
AWAY = {"OPENAI_API_KEY": "sk-of-nobody-00000000", "OPENAI_BASE_URL": "https://nobody.invalid/v1"}
ELSEWHERE = {"OPENAI_API_KEY": "sk-of-nobody-00000000", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}


def write_study(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(SPEC)
    (folder / "rows.csv").write_text("id,topic\n1,bears\n2,tigers\n")


def run_folder(study: Path) -> Path:
    return next(path.parent for path in study.glob("runs/*/manifest.json"))


def break_manifest(study: Path) -> None:
    (run_folder(study) / "manifest.json").write_text('{"schema": ')


def misspell_in_block(study: Path) -> None:
    block = "prompt:\n  user: |\n    A first line about {{ topic }}.\n\n    And {{ topci }} below.\n"
    spec = study / "experiment.yaml"
    spec.write_text(re.sub(r"prompt: .*\n", block, spec.read_text()))


def damage_journal(study: Path) -> None:
    journal = run_folder(study) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], lines[2].replace(b"r", b"x", 1), *lines[3:]]))


def renew_journal(study: Path) -> None:
    journal = run_folder(study) / "journal.jsonl"
    _, *lines = journal.read_bytes().splitlines(keepends=True)
    first = encode(Event("journal", {"version": 99, "run": run_folder(study).name}, time="2030-01-01T00:00:00.000Z"), 0)
    journal.write_bytes(b"".join([first, *lines]))


def drop_database(study: Path) -> None:
    (study / "results.duckdb").unlink()


def write_body(study: Path, rows: str = "") -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say something about {{topic}}"}]}
    (study / "body.json").write_text(json.dumps(body))
    if rows:
        (study / "rows.csv").write_text(rows)


def write_batch_file(study: Path) -> None:
    write_body(study)
    (study / "batch-requests.jsonl").write_text("{}\n")


def write_good_file(study: Path) -> None:
    line = {"custom_id": "id_0", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o"}}
    (study / "good.jsonl").write_text(json.dumps(line) + "\n")


def write_mixed_file(study: Path) -> None:
    """The third line asks another model, the second goes elsewhere."""
    lines = [
        {"custom_id": f"id_{n}", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o"}}
        for n in range(4)
    ]
    lines[1]["url"] = "/v1/responses"
    lines[2]["body"] = {"model": "gpt-4o-mini"}
    (study / "mixed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_marked_file(study: Path) -> None:
    write_good_file(study)
    content = (study / "good.jsonl").read_bytes()
    (study / "good.jsonl").write_bytes(b"\xef\xbb\xbf" + content)


def unquote_slot(study: Path) -> None:
    write_body(study, "id,topic\n" + "".join(f"{n},word\n" for n in range(1, 31)))
    body = study / "body.json"
    body.write_text(body.read_text().replace('{"model"', '{"temperature": {{topic}}, "model"'))


def spoil_ids(study: Path) -> None:
    write_body(study, "id,topic\n1,two words\n2,tigers\n")


def repeat_ids(study: Path) -> None:
    write_body(study, "id,topic\n1,bears\n1,tigers\n")


def empty_cell(study: Path) -> None:
    write_body(study, "id,topic\n1,bears\n2,\n")


@contextmanager
def held(study: Path) -> Iterator[None]:
    connection = duckdb.connect(str(study / "results.duckdb"))
    try:
        yield
    finally:
        connection.close()


def free(study: Path) -> AbstractContextManager[None]:
    del study
    return nullcontext()


@dataclass(frozen=True)
class Case:
    """A command that must fail; `before` prepares a study whose run is complete, `around` holds while it fails."""

    words: tuple[str, ...]
    status: int
    before: Callable[[Path], Any] | None = None
    around: Callable[[Path], AbstractContextManager[None]] = free
    env: dict[str, str] = field(default_factory=dict)


CASES = {
    "missing-file": Case(("run", "elsewhere.yaml"), 3),
    "folder-without-spec": Case(("run", "empty"), 3, lambda study: (study / "empty").mkdir()),
    "slot-in-a-block": Case(("validate", "experiment.yaml"), 3, misspell_in_block),
    "data-for-spec": Case(("validate", "rows.csv"), 3),
    "data-for-spec-run": Case(("run", "rows.csv"), 3, lambda study: (study / "experiment.yaml").unlink()),
    "data-for-spec-status": Case(("status", "rows.csv"), 3),
    "no-study-here": Case(("status",), 2, lambda study: (study / "experiment.yaml").unlink()),
    "unknown-run": Case(("status", "small-00000000"), 2),
    "no-run-yet": Case(("results",), 2, lambda study: shutil.rmtree(study / "runs")),
    "unknown-step": Case(("run", "experiment.yaml", "--until", "fly"), 2),
    "unknown-format": Case(("results", "--format", "xml"), 2),
    "safe-csv-of-json": Case(("results", "--format", "json", "--safe-csv"), 2),
    "two-formats": Case(("results", "--output", "results.txt"), 2),
    "output-nowhere": Case(("results", "--format", "csv", "--output", "not/there.csv"), 2),
    "output-on-a-folder": Case(("results", "--format", "csv", "--output", "runs"), 2),
    "output-over-the-table": Case(("results", "--output", "rows.csv"), 2),
    "output-over-the-spec": Case(("results", "--format", "csv", "--output", "./experiment.yaml"), 2),
    "output-over-the-database": Case(("results", "--format", "csv", "--output", "results.duckdb"), 2),
    "unknown-provider": Case(("run", "experiment.yaml", "--provider", "acme"), 2),
    "no-key": Case(("run", "experiment.yaml", "--provider", "openai"), 3),
    "nobody-agrees": Case(("run", "experiment.yaml", "--provider", "openai"), 2, env=ELSEWHERE),
    "init-again": Case(("init",), 2),
    "init-unknown-example": Case(("init", "--example", "surveys"), 2),
    "init-example-again": Case(("init", "--example", "vignettes", "."), 2),
    "init-on-a-file": Case(("init", "rows.csv"), 2),
    "broken-manifest": Case(("status",), 3, break_manifest),
    "no-database": Case(("results",), 3, drop_database),
    "database-held": Case(("results",), 5, around=held),
    "database-held-load": Case(("load", "--rebuild"), 5, around=held),
    "database-damaged": Case(
        ("results",), 5, lambda study: (study / "results.duckdb").write_bytes(b"no database " * 999)
    ),
    "journal-damaged": Case(("status",), 9, damage_journal),
    "journal-damaged-run": Case(("run", "experiment.yaml"), 9, damage_journal),
    "journal-newer": Case(("run", "experiment.yaml"), 9, renew_journal),
    "show-unknown": Case(("show", "0000009-1-1-01234567"), 2),
    "show-unknown-in-run": Case(("show", "0000009-1-1-01234567", "experiment.yaml"), 2),
    "show-no-id": Case(("show", "x-**"), 2),
    "runs-nowhere": Case(("runs", "elsewhere"), 2),
    "make-from-nothing": Case(("make-batch-file", "prompt.json", "rows.csv"), 2),
    "make-again": Case(("make-batch-file", "body.json", "rows.csv"), 2, write_batch_file),
    "make-bad-ids": Case(("make-batch-file", "body.json", "rows.csv", "--id-col", "topic"), 3, spoil_ids),
    "make-equal-ids": Case(("make-batch-file", "body.json", "rows.csv", "--id-col", "id"), 3, repeat_ids),
    "make-no-such-column": Case(("make-batch-file", "body.json", "rows.csv", "--id-col", "ID"), 3, write_body),
    "make-missing-cell": Case(("make-batch-file", "body.json", "rows.csv"), 3, empty_cell),
    "make-nowhere": Case(("make-batch-file", "body.json", "rows.csv", "--out", "not/there.jsonl"), 2, write_body),
    "upload-nothing": Case(("upload-batch-file", "batch-requests.jsonl"), 2),
    "upload-no-requests": Case(("upload-batch-file", "rows.csv"), 3),
    "upload-no-key": Case(("upload-batch-file", "good.jsonl"), 3, write_good_file),
    "upload-two-models": Case(("upload-batch-file", "mixed.jsonl"), 3, write_mixed_file),
    "upload-with-a-mark": Case(("upload-batch-file", "good.jsonl"), 3, write_marked_file),
    "list-without-scheme": Case(("list-batches",), 3, env=AWAY | {"OPENAI_BASE_URL": "127.0.0.1:8000/v1"}),
    "list-nobody-listens": Case(("list-batches",), 6, env=ELSEWHERE),
    "make-swapped": Case(("make-batch-file", "rows.csv", "body.json"), 2, write_body),
    "make-no-sheets": Case(("make-batch-file", "body.json", "rows.csv", "--sheet", "people"), 2, write_body),
    "make-bad-values": Case(("make-batch-file", "body.json", "rows.csv"), 3, unquote_slot),
    "rest-of-nothing": Case(("utils", "rest", "good.jsonl", "batch-responses.jsonl"), 2, write_good_file),
    "start-nobody-agrees-here": Case(("start-batch", "file-1"), 2, env=ELSEWHERE),
    "chat-no-key": Case(("utils", "chat-complete", "good.jsonl"), 3, write_good_file),
    "utils-alone": Case(("utils",), 2),
    "tool-without-utils": Case(("chat-complete", "good.jsonl", "--yes"), 2),
    "option-in-front": Case(("--provider", "local", "list-batches"), 2),
    "start-nobody-agrees": Case(("start-batch", "file-1"), 2, env=AWAY),
    "start-no-id": Case(("start-batch", "batch-requests.jsonl", "--provider", "local"), 2, write_batch_file),
    "start-unknown-provider": Case(("start-batch", "file-1", "--provider", "acme"), 2),
    "delete-nobody-agrees": Case(("delete-file", "file-1"), 2, env=AWAY),
    "get-again": Case(
        ("get-batch-results", "batch_1"), 2, lambda study: (study / "batch-responses.jsonl").touch(), env=AWAY
    ),
    "get-no-key": Case(("get-batch-results", "batch_1"), 3, lambda study: (study / "batch-responses.jsonl").touch()),
    "get-of-a-file": Case(("get-batch-results", "file-1", "--provider", "local"), 2),
    "start-of-a-batch": Case(("start-batch", "batch_1"), 2),
    "start-unknown-local": Case(("start-batch", "file-1", "--provider", "local"), 2),
    "show-batch-elsewhere": Case(("show-batch", "batch_1", "--provider", "local"), 2),
    "list-no-key": Case(("list-batches",), 3),
    "chat-nobody-agrees": Case(("utils", "chat-complete", "good.jsonl"), 2, write_good_file, env=AWAY),
    "chat-foreign-answers": Case(
        ("utils", "chat-complete", "good.jsonl", "--out", "rows.csv", "--yes"), 2, write_good_file, env=ELSEWHERE
    ),
    "display-nothing": Case(("utils", "display", "elsewhere.jsonl"), 2),
    "display-a-table": Case(("utils", "display", "rows.csv"), 3),
    "unknown-command": Case(("statu",), 2),
    "unknown-option": Case(("run", "experiment.yaml", "--jsn"), 2),
    "no-argument": Case(("run",), 2),
    "watch-with-json": Case(("status", "--watch", "--json"), 2),
    "csv-with-json": Case(("results", "--format", "csv", "--json"), 2),
}


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    """A study whose run is complete; copied for every case."""
    study = tmp_path_factory.mktemp("complete") / "study"
    write_study(study)
    ended = zygote.run(study, ["run", "experiment.yaml"], QUIET)
    assert ended.status == 0, ended.stderr
    return study


@pytest.mark.parametrize("name", CASES)
def test_error(name: str, complete: Path, zygote: Zygote, tmp_path: Path) -> None:
    case, study = CASES[name], tmp_path / "study"
    shutil.copytree(complete, study)
    if case.before is not None:
        case.before(study)
    with case.around(study):
        told = zygote.run(study, case.words, QUIET | case.env)
        as_json = zygote.run(study, [word for word in case.words if word != "--json"] + ["--json"], QUIET | case.env)
    check(
        f"error-{name}.txt", f"$ batchflow {' '.join(case.words)}\n{masked(told.stderr, study)}[exit {told.status}]\n"
    )
    assert (told.status, "Traceback" in told.stderr) == (case.status, False)
    if "--json" not in case.words:
        assert told.stdout == ""
    if "--format" in case.words and "csv" in case.words:
        return  # with --json another error, which has a case of its own
    error = as_json.json()
    assert (error["schema"], error["exit"], as_json.status) == ("batchflow.error/1", case.status, case.status)
    assert error["message"]
    assert error["hint"] or error["faults"], "every error says what to do next"


def test_a_run_that_cannot_be_read_hides_no_other(complete: Path, zygote: Zygote, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(complete, study)
    second = run_folder(study).with_name("small-00000000")
    shutil.copytree(run_folder(study), second)
    (second / "manifest.json").write_text("{")
    ended = zygote.run(study, ["runs", "--json"], QUIET)
    assert ended.status == 0
    states = {entry["run"]: (entry["state"], entry["error"] is None) for entry in ended.json()["runs"]}
    assert states == {run_folder(complete).name: ("complete", True), "small-00000000": ("unreadable", False)}
    assert "small-00000000 cannot be read" in zygote.run(study, ["runs"], QUIET).stderr
