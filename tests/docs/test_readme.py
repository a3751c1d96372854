"""The README says what the program does: its specs load, its commands run, its tables are whole."""

import re
from pathlib import Path

import pytest

from batchflow.errors import ExitStatus
from batchflow.sinks.formats import Format
from batchflow.sinks.layout import KEYS, TABLES, VIEWS
from batchflow.spec.load import load_spec
from batchflow.spec.model import Experiment
from tests.docs.conftest import Ran, python
from tests.docs.pages import COMMANDS, blocks, check_shown, code, marked, page, rows
from tests.zygote import Zygote

README = page("README.md")
SPECS = [block.text for block in blocks(README) if block.language == "yaml"]
LEAST = "version: 1\nname: a\ndata: {source: a.csv}\nprompt: {user: x}\n"


@pytest.mark.parametrize("text", SPECS, ids=lambda text: text.split("\n")[0])
def test_every_yaml_block_is_a_valid_spec(text: str, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    given = {line.partition(":")[0] for line in text.splitlines()}
    least = "".join(line for line in LEAST.splitlines(keepends=True) if line.partition(":")[0] not in given)
    path.write_text(text if text.startswith("version:") else least + text)
    load_spec(path)


def test_the_first_spec_is_ten_lines_and_fits_the_personas(ran: Ran) -> None:
    folder = ran.folder / "ten-lines"
    folder.mkdir()
    (folder / "personas.csv").write_bytes((ran.folder / "projects/image-appeal/personas.csv").read_bytes())
    (folder / "experiment.yaml").write_text(SPECS[0])
    assert len(SPECS[0].splitlines()) == 10
    ended = python(ran.folder, "-m", "batchflow", "validate", "ten-lines")
    assert "26 requests" in ended.stderr
    assert ended.returncode == 0


def test_the_lines_to_change_for_openai_are_those_of_the_study() -> None:
    study = page("projects/image-appeal/experiment.yaml").splitlines()
    (change,) = (block.text for block in blocks(README) if block.language == "diff")
    for line in change.splitlines():
        fitting = [found for found in study if found.startswith(line[1:])]
        assert bool(fitting) == (line[0] == "-"), line
        assert any(found.removeprefix("# ").startswith(line[1:]) for found in study), line


def test_every_command_is_in_the_table_and_has_help() -> None:
    listed = [code(row[0])[0].removeprefix("batchflow ") for row in rows(README, "command")]
    assert sorted(listed) == sorted(COMMANDS)
    assert all((function.__doc__ or "").strip() for function in COMMANDS.values())


def test_every_exit_status_is_in_the_table() -> None:
    assert [int(row[0]) for row in rows(README, "exit status")] == [int(status) for status in ExitStatus]


def test_every_key_of_a_spec_is_in_the_table() -> None:
    schema = Experiment.model_json_schema()
    keys = []
    for name, field in schema["properties"].items():
        names = [ref["$ref"] for ref in (field, *field.get("anyOf", [])) if "$ref" in ref]
        inner = schema["$defs"][names[0].rpartition("/")[2]]["properties"] if names else {}
        keys += [f"{name}.{key}" for key in inner] or [name]
    assert [code(row[0])[0] for row in rows(README, "key")] == keys


def test_every_table_of_the_database_is_in_the_table() -> None:
    assert {code(row[0])[0] for row in rows(README, "table")} == {
        *TABLES, *VIEWS, *(f'{schema}."<run_id>"' for schema in KEYS)
    }  # fmt: skip


def test_the_first_command_prints_what_is_shown(ran: Ran) -> None:
    assert marked(README, "ci: run").endswith(".venv/bin/batchflow run projects/image-appeal/experiment.yaml\n")
    assert ran.status == 0, ran.stderr
    check_shown("shown: run", re.sub(r"batch_[0-9a-f]+", "batch_…", ran.stderr))
    assert "SIMULATED" in ran.stderr


def test_the_query_prints_what_is_shown(ran: Ran) -> None:
    ended = python(ran.folder, "-c", marked(README, "shown: query"))
    assert ended.returncode == 0, ended.stderr
    check_shown("shown: table", ended.stdout.strip() + "\n")


def test_loading_prints_what_is_shown(ran: Ran) -> None:
    ended = python(ran.folder, "-X", "dev", "-c", marked(README, "shown: load"))
    assert (ended.returncode, ended.stderr) == (0, "")
    check_shown("shown: loaded", ended.stdout)


def test_the_formats_are_those_of_the_program() -> None:
    assert [name for row in rows(README, "`--format`") for name in code(row[0])] == list(Format)


def test_the_commands_for_a_study_of_ones_own_run(tmp_path: Path, zygote: Zygote) -> None:
    (lines,) = (b.text.splitlines() for b in blocks(README) if b.language == "sh" and "init my-study" in b.text)
    ended = [zygote.run(tmp_path, line.partition("#")[0].split()[1:]) for line in lines]
    init, validate, run, results = (each.status for each in ended)
    assert init == validate == results == ExitStatus.COMPLETE, ended
    # the README owns up to a starter whose answers are cut; once they are not, the sentence goes
    assert run == (ExitStatus.ENDED_SHORT if "counted as `truncated`" in README else ExitStatus.COMPLETE)
    assert (tmp_path / "my-results.csv").is_file()


def test_both_commands_of_ci_make_their_own_environment() -> None:
    for marker in ("ci: run", "ci: test"):
        command = marked(README, marker)
        assert command.startswith("python3 -m venv .venv && ")
        assert command.count("\n") == 1
