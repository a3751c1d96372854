"""What leaves the machine, and what is said of it beforehand: `data.send`."""

import json
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


def write(folder: Path, rows: list[tuple[str, ...]] = ROWS, data: dict[str, Any] | None = None, **keys: Any) -> None:
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
