"""What every command says of itself, and the object it gives with --json, word for word.

`BATCHFLOW_UPDATE_GOLDEN=1 pytest tests/unit/cli` rewrites the texts; read the diff. Fields of an object are only added.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.cli.golden import GOLDEN, QUIET, check, masked
from tests.zygote import Ended, Zygote

PROJECT = Path(__file__).parents[3] / "projects" / "image-appeal"
COMMANDS = (
    *(
        "init",
        "validate",
        "preview",
        "plan",
        "run",
        "status",
        "runs",
        "results",
        "show",
        "cancel",
        "retry",
        "forget",
        "load",
    ),
    *("schema", "serve"),
)
DECK = (
    *("make-batch-file", "upload-batch-file", "start-batch", "list-batches", "show-batch", "get-batch-results"),
    *("cancel-batch", "list-files", "delete-file"),
    *("utils config", "utils display", "utils chat-complete", "utils rest", "utils pdf2text"),
)
RUN = "image-appeal-0004ccfe"
# in the order of a user's day; each is kept in json-<name>.json
STEPS = {
    "init": ("init", "other"),
    "validate": ("validate", "experiment.yaml"),
    "preview": ("preview", "experiment.yaml", "-n", "2"),
    "plan": ("plan", "experiment.yaml"),
    "status-planned": ("status",),
    "run": ("run", "experiment.yaml"),
    "run-again": ("run", "experiment.yaml"),
    "status": ("status", "experiment.yaml"),
    "runs": ("runs",),
    "results": ("results", "experiment.yaml"),
    "show": ("show", "0000004-1-1-0004ccfe"),
    "load": ("load", RUN, "--rebuild"),
    "schema": ("schema",),
    "make-batch-file": ("make-batch-file", "prompt.json", "personas.csv"),
}


@pytest.mark.parametrize("command", ["", *COMMANDS, *DECK])
def test_help(command: str, zygote: Zygote, tmp_path: Path) -> None:
    ended = zygote.run(tmp_path, [*command.split(), "--help"], QUIET)
    assert (ended.status, ended.stderr) == (0, "")
    check(f"help-{command.replace(' ', '-') or 'batchflow'}.txt", ended.stdout)


def test_no_command_is_hidden_or_forgotten(zygote: Zygote, tmp_path: Path) -> None:
    listed = zygote.run(tmp_path, ["--help"], QUIET).stdout.partition("Commands:\n")[2]
    known = {name.split()[0] for name in (*COMMANDS, *DECK)}
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(known)
    assert "..." not in listed  # no summary is cut


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "image-appeal"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("runs", "results.duckdb*"))
    return folder


@pytest.fixture(scope="module")
def steps(project: Path, zygote: Zygote) -> dict[str, Ended]:
    """Every step with --json, once."""
    return {name: zygote.run(project, [*words, "--json"], QUIET) for name, words in STEPS.items()}


@pytest.mark.parametrize("name", STEPS)
def test_json(name: str, steps: dict[str, Ended], project: Path) -> None:
    step = steps[name]
    assert step.status == 0, step.stderr
    check(f"json-{name}.json", masked(step.stdout, project))
    value = step.json()
    if name != "schema":
        assert value["schema"] == f"batchflow.{name if name in DECK else name.partition('-')[0]}/1"


@pytest.mark.parametrize("name", ["validate", "plan", "run", "run-again", "load", "init"])
def test_words_for_people_go_to_stderr(name: str, steps: dict[str, Ended], project: Path) -> None:
    check(f"words-{name}.txt", masked(steps[name].stderr, project))


def test_the_page_for_review(steps: dict[str, Ended], project: Path) -> None:
    page = project / steps["plan"].json()["review"]
    check("review.md", masked(page.read_text(encoding="utf-8"), project))


def test_the_run_says_what_design_promises(steps: dict[str, Ended]) -> None:
    record = steps["run"].json()
    wanted = {
        "schema",
        "run",
        "folder",
        "database",
        "state",
        "simulated",
        "requests",
        "outcomes",
        "batches",
        "cost_usd",
    }
    assert wanted | {"up_to_date"} <= record.keys()
    assert set(record["requests"]) == {"total", "answered", "failed", "owed", "reused"}
    assert sum(record["outcomes"].values()) == record["requests"]["total"] == 26
    assert (record["run"], record["up_to_date"], steps["run-again"].json()["up_to_date"]) == (RUN, False, True)


TABLES = {
    "preview": ("preview", "experiment.yaml", "--row", "4", "--row", "26"),
    "plan": ("plan", "experiment.yaml"),
    "status": ("status",),
    "runs": ("runs",),
    "results": ("results",),
    "show": ("show", "0000004-1-1-0004ccfe"),
}


@pytest.mark.parametrize("name", TABLES)
def test_text(name: str, steps: dict[str, Ended], project: Path, zygote: Zygote) -> None:
    assert steps["run"].status == 0
    told = zygote.run(project, TABLES[name], QUIET | {"COLUMNS": "120"})
    assert told.status == 0
    assert "SIMULATED" in told.stdout + told.stderr
    check(f"text-{name}.txt", masked(told.stdout, project))


def test_results_as_json_hold_every_row(steps: dict[str, Ended]) -> None:
    record = steps["results"].json()
    assert len(record["rows"]) == record["total"] == 26
    assert all(list(row) == record["columns"] for row in record["rows"])


def test_golden_files_are_all_in_use() -> None:
    from tests.unit.cli.test_cli_errors import CASES

    used = {f"help-{command.replace(' ', '-')}.txt" for command in ("batchflow", *COMMANDS, *DECK)} | {
        f"json-{name}.json" for name in STEPS
    }
    used |= {f"text-{name}.txt" for name in TABLES} | {f"error-{name}.txt" for name in CASES} | {"review.md"}
    found = {path.name for path in GOLDEN.iterdir() if not path.name.startswith("words-")}
    assert found == used


def test_nothing_of_a_machine_is_in_a_golden_file() -> None:
    for path in GOLDEN.iterdir():
        assert str(PROJECT.parents[1]) not in path.read_text(encoding="utf-8"), path.name
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
