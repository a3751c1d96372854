"""What leaves the machine, and what is said of it beforehand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from batchflow.plan.study import compile_study
from batchflow.sources.workshop import Workshop
from batchflow.spec.load import load_spec
from tests.zygote import Zygote

ROWS = [("1", "nice", "Anna", "120"), ("2", "dull", "Ben", "90")]
ADDRESS = "http://127.0.0.1:9/v1"  # nobody listens there


def write(
    folder: Path, rows: Sequence[tuple[str, ...]] = ROWS, data: dict[str, Any] | None = None, **keys: Any
) -> None:
    cells = "".join(",".join(row) + "\n" for row in rows)
    (folder / "people.csv").write_text("id,answer,name,income\n" + cells)
    study = {
        "version": 1, "name": "leaves", "data": {"source": "people.csv", "id": "id", **(data or {})},
        "prompt": {"user": "Code this: {{answer}}"}, "parameters": {"model": "gpt-4o"},
        "polling": {"interval": "0.1s"},
    }  # fmt: skip
    (folder / "experiment.yaml").write_text(json.dumps(study | keys))


def fingerprint(folder: Path) -> str:
    return compile_study(load_spec(folder / "experiment.yaml"), None, Workshop()).fingerprint("0" * 64)


def test_columns_that_may_not_leave_stand_beside_the_answers(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path, data={"send": ["answer"]}, design={"factors": {"temperature": [0]}, "where": "income::int > 100"})
    told = zygote.run(tmp_path, ["run", "--json", "."])
    assert told.status == 0, told.stderr
    sent = next((tmp_path / told.json()["folder"]).glob("requests/*.jsonl")).read_text()
    assert "nice" in sent
    assert not [cell for cell in ("Anna", "120", "Ben", "dull") if cell in sent]
    with duckdb.connect(str(tmp_path / "results.duckdb"), read_only=True) as database:
        assert database.execute("SELECT row_id, name, income FROM results").fetchall() == [("1", "Anna", "120")]


@pytest.mark.parametrize("command", ["validate", "preview", "plan", "run"])
def test_a_prompt_that_uses_another_column_is_refused(command: str, tmp_path: Path, zygote: Zygote) -> None:
    prompt = {"user": "Code this: {{answer}}, by {{ name | upper }}"}
    write(tmp_path, data={"send": ["answer", "income"]}, prompt=prompt, provider="openai")
    told = zygote.run(tmp_path, [command, "."], {"OPENAI_BASE_URL": ADDRESS, "OPENAI_API_KEY": "sk-test"})
    assert told.status == 3
    assert "the column 'name' must not leave this machine" in told.stderr
    assert "experiment.yaml:1:" in told.stderr
    assert not (tmp_path / "runs").exists()


def test_the_list_changes_no_byte_and_no_fingerprint(tmp_path: Path) -> None:
    write(tmp_path)
    before = fingerprint(tmp_path)
    write(tmp_path, data={"send": ["answer"]})
    assert fingerprint(tmp_path) == before
    write(tmp_path, data={"send": []}, prompt={"user": "Say something."})
    nothing = fingerprint(tmp_path)
    write(tmp_path, prompt={"user": "Say something."})
    assert fingerprint(tmp_path) == nothing


def test_validate_says_which_columns_leave(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path)
    columns = zygote.run(tmp_path, ["validate", ".", "--json"]).json()["columns"]
    assert {each["name"]: each["sent"] for each in columns} == {
        "id": False, "answer": True, "name": False, "income": False
    }  # fmt: skip


def planned(folder: Path, zygote: Zygote, *words: str) -> tuple[dict[str, Any], Path]:
    told = zygote.run(folder, ["plan", ".", "--json", *words])
    assert told.status == 0, told.stderr
    return told.json(), folder / told.json()["review"]


def test_a_page_for_people(tmp_path: Path, zygote: Zygote) -> None:
    design = {"factors": {"temperature": [0, 1]}, "replicates": 2}
    write(tmp_path, data={"send": ["answer"]}, design=design, description="Why `they` <b>complain</b>")
    value, page = planned(tmp_path, zygote, "--provider", "openai")
    text = page.read_text()
    for line in (
        "| what the study is about | Why \\`they\\` \\<b\\>complain\\</b\\> |",
        "To `api.openai.com` and nobody else, over an encrypted connection (HTTPS):",
        "- cells of the table: `answer`;",
        "Stays here, and is joined to the answers here: `id`, `name`, `income`.",
        "| `temperature=0` | 2 | 4 |",
        "| new: asked by this run | 8 |",
        f"| `requests/r1-00001.jsonl` | `{value['shards'][0]['sha256']}` |",
        f"| bytes in them | {value['shards'][0]['bytes']:,} |",
    ):
        assert line in text.splitlines(), line
    assert text.count("### Row ") == 3
    assert "30 days after its upload" in text
    assert "| requests that are paid for | 8 |" in text
    assert "| **cost at most** | not known |" in text, "nothing caps the answers"
    manifest = json.loads((page.parent / "manifest.json").read_text())
    assert manifest["fingerprint"] in text
    assert manifest["columns_sent"] == ["answer"]
    # it follows from the rest: the same again after it was lost or spoilt
    for spoil in (page.unlink, lambda: page.write_text("nothing")):
        spoil()
        assert planned(tmp_path, zygote, "--provider", "openai")[1].read_text() == text


def test_no_period_is_invented_for_other_providers(tmp_path: Path, zygote: Zygote) -> None:
    provider = {"name": "mine", "base_url": "https://llm.example.org/v1", "api_key_env": "MINE_API_KEY"}
    write(tmp_path, provider=provider)
    text = planned(tmp_path, zygote)[1].read_text()
    assert "batchflow does not know it for `llm.example.org`. Ask who runs it" in text
    assert "30 days" not in text


def test_a_run_needs_no_page(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path)
    _, page = planned(tmp_path, zygote)
    page.unlink()
    assert zygote.run(tmp_path, ["run", "."]).status == 0
    assert zygote.run(tmp_path, ["load", ".", "--rebuild"]).status == 0
    write(tmp_path, [*ROWS, ("3", "odd", "Cleo", "70")])
    text = planned(tmp_path, zygote)[1].read_text()
    assert "| new: asked by this run | 1 |" in text
    assert "| taken over: answered by an earlier run, not asked again | 2 |" in text
    assert "odd" in text.partition("## Sample prompts")[2]  # what is new is what is shown


def test_nothing_in_a_page_is_executed(tmp_path: Path, zygote: Zygote) -> None:
    evil = "```\n\x1b[2J<script>`` | \u202e x"
    write(tmp_path, name="leaves", prompt={"user": evil + " {{answer}}"}, data={"source": "people.csv"})
    text = planned(tmp_path, zygote)[1].read_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "````text\n```\n\\x1b[2J<script>`` | \\u202e x " in text


def spoil(page: Path) -> None:
    path = page.parent / "requests" / "r1-00002.jsonl"
    path.write_bytes(path.read_bytes().replace(b"dull", b"null"))


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_request_file_that_was_changed_is_refused_before_any_is_sent(
    command: str, tmp_path: Path, zygote: Zygote
) -> None:
    env = {"OPENAI_BASE_URL": ADDRESS, "OPENAI_API_KEY": "sk-test"}
    write(tmp_path, provider="openai", limits={"requests_per_batch": 1})
    folder = next((tmp_path / "runs").glob("leaves-*"), None)
    assert zygote.run(tmp_path, ["plan", "."], env).status == 0
    folder = next((tmp_path / "runs").glob("leaves-*"))
    spoil(folder / "REVIEW.md")
    told = zygote.run(tmp_path, [command, ".", *(["--yes"] if command == "run" else [])], env)
    assert told.status == 3
    assert "1 request file is not the one that was built" in told.stderr
    assert "r1-00002.jsonl" in told.stderr
    assert not [line for line in (folder / "journal.jsonl").open() if "uploaded" in line or "intent" in line]
    # the way out that is named is one
    assert zygote.run(tmp_path, ["forget", str(folder), "--yes"], env).status == 0
    assert zygote.run(tmp_path, ["plan", "."], env).status == 0


PERSONAL = [("1", "ask ann.lee@example.org", "Anna", "1"), ("2", "dull", "Ben", "2"), ("3", "+49 30 1234567", "C", "3")]


@pytest.mark.parametrize("command", ["validate", "preview", "plan", "run"])
def test_personal_data_is_warned_of_and_never_shown(command: str, tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path, PERSONAL, design={"factors": {"temperature": [0, 1]}, "replicates": 2})
    told = zygote.run(tmp_path, [command, "."])
    assert told.status == 0
    assert "note: prompts hold e-mail addresses: column 'answer', in 1 row, e.g. 1\n" in told.stderr
    assert "note: prompts hold phone numbers: column 'answer', in 1 row, e.g. 3\n" in told.stderr
    assert "`data: {lint: false}`" in told.stderr
    assert not [line for line in told.stderr.splitlines() if line.startswith("note") and "example.org" in line]
    for manifest in tmp_path.glob("runs/*/manifest.json"):
        assert "example.org" not in manifest.read_text()
    write(tmp_path, PERSONAL, data={"lint": False}, design={"factors": {"temperature": [0, 1]}, "replicates": 2})
    assert "note: prompts hold" not in zygote.run(tmp_path, [command, "."]).stderr


def test_personal_data_as_json_and_on_the_page(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path, PERSONAL, prompt={"user": "{{ answer | upper }} and {{ name }}"})
    expected = [
        {"kind": "e-mail addresses", "columns": ["answer"], "rows": 1, "examples": ["1"]},
        {"kind": "phone numbers", "columns": ["answer"], "rows": 1, "examples": ["3"]},
    ]
    for command in ("validate", "preview", "plan", "plan"):  # a run that is found says it again
        assert zygote.run(tmp_path, [command, ".", "--json"]).json()["personal"] == expected
    text = planned(tmp_path, zygote)[1].read_text()
    assert "- prompts hold e-mail addresses: column 'answer', in 1 row, e.g. 1" in text
    first = fingerprint(tmp_path)
    write(tmp_path, PERSONAL, data={"lint": False}, prompt={"user": "{{ answer | upper }} and {{ name }}"})
    assert fingerprint(tmp_path) == first


@pytest.mark.parametrize("name", ["image-appeal", "open-coding", "vignettes"])
def test_no_false_alarm_in_the_examples(name: str, tmp_path: Path, zygote: Zygote) -> None:
    told = zygote.run(tmp_path, ["validate", str(Path(__file__).parents[2] / "projects" / name), "--json"])
    assert told.json()["personal"] == []


def test_the_page_says_what_was_chosen_about_files_at_the_provider(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path)
    value, page = planned(tmp_path, zygote, "--provider", "openai")
    assert "The study asks for no earlier deletion" in page.read_text()
    write(tmp_path, output={"expires_after": "36h", "delete_remote": True})
    changed, _ = planned(tmp_path, zygote, "--provider", "openai")
    assert changed["run"] == value["run"]
    text = page.read_text()
    assert "It is told to delete a request file 3 days after its upload, and a file of answers\n36 hours after" in text
    assert "are deleted there (`output.delete_remote`)" in text
    assert "no earlier deletion" not in text


def test_the_page_of_a_run_says_what_holds_when_it_is_sent(tmp_path: Path, zygote: Zygote) -> None:
    write(tmp_path)
    _, page = planned(tmp_path, zygote)
    write(tmp_path, output={"delete_remote": True})
    assert zygote.run(tmp_path, ["run", "."]).status == 0
    assert "are deleted there (`output.delete_remote`)" in page.read_text()
