"""Heavy libraries are imported by the commands that need them: `--help` and `status` must be instant."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batchflow.sources.few import FEW_BYTES
from tests.unit.cli.test_cli_errors import complete

__all__ = ["complete"]

CODE = (
    "import json, sys\n"
    "import batchflow.cli.app as app\n"
    "sys.argv = ['batchflow', *sys.argv[1:]]\n"
    "status = app._carry_out()\n"
    "sys.stderr.write('\\n' + json.dumps([int(status), sorted(sys.modules)]))\n"
)
HEAVY = {"openai", "duckdb", "httpx2", "starlette", "uvicorn", "jinja2", "rich", "pydantic", "yaml"}
OURS = {"batchflow.spec.model", "batchflow.engine.runner", "batchflow.server.app", "batchflow.sinks.connection"}


def imported(folder: Path, *words: str) -> set[str]:
    """The modules that a command leaves behind in a fresh process."""
    ended = subprocess.run([sys.executable, "-c", CODE, *words], cwd=folder, capture_output=True, text=True, check=True)
    status, modules = json.loads(ended.stderr.splitlines()[-1])
    assert status == 0, ended.stderr
    return set(modules)


def test_help_is_instant(tmp_path: Path) -> None:
    assert not imported(tmp_path, "--help") & (HEAVY | OURS)


@pytest.mark.parametrize("words", [("run", "--help"), ("--version",)])
def test_what_typer_reads_itself_is_instant(words: tuple[str, ...], tmp_path: Path) -> None:
    assert not imported(tmp_path, *words) & (HEAVY | OURS)


def test_status_and_runs_need_neither_database_nor_network(complete: Path) -> None:
    absent = HEAVY | OURS | {"batchflow.providers.base", "batchflow.cost.weighing", "importlib.metadata"}
    for words in (("status",), ("status", "experiment.yaml"), ("status", "--json"), ("runs",)):
        assert not imported(complete, *words) & absent


def test_status_of_a_spec_that_was_touched_reads_it(complete: Path) -> None:
    spec = complete / "experiment.yaml"
    spec.write_text(f"{spec.read_text()}\n# another word\n")
    assert "batchflow.spec.model" in imported(complete, "status")


def test_a_command_imports_no_other(complete: Path) -> None:
    others = {"batchflow.cli.run", "batchflow.cli.results", "batchflow.cli.serve", "batchflow.cli.deck"}
    assert not imported(complete, "status") & others
    assert others <= imported(complete, "--help")


def test_validate_of_few_rows_needs_no_database(complete: Path, tmp_path: Path) -> None:
    absent = {"duckdb", "batchflow.steps.build", "batchflow.plan.model"}
    assert not imported(complete, "validate", "experiment.yaml") & absent
    (tmp_path / "experiment.yaml").write_bytes((complete / "experiment.yaml").read_bytes())
    (tmp_path / "rows.csv").write_text("id,topic\n" + "".join(f"{row},{row:0100}\n" for row in range(FEW_BYTES // 100)))
    assert "duckdb" in imported(tmp_path, "validate", "experiment.yaml")


def test_results_and_validate_need_no_network(complete: Path) -> None:
    absent = {"openai", "httpx2", "starlette", "uvicorn", "genai_prices", "jsonschema_rs", "jinja2", "rich"}
    for words in (("results",), ("validate", "experiment.yaml")):
        assert not imported(complete, *words) & absent
