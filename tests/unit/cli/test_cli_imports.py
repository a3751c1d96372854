"""Heavy libraries are imported by the commands that need them: `--help` and `status` must be instant."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_what_typer_reads_itself_costs_pydantic_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    assert imported(tmp_path, *words) & (HEAVY | OURS) <= {"pydantic"}


def test_status_and_runs_need_neither_database_nor_network(complete: Path) -> None:
    absent = {"openai", "duckdb", "httpx2", "jinja2", "starlette", "rich", "batchflow.server.app"}
    assert not imported(complete, "status", "experiment.yaml") & absent
    assert not imported(complete, "runs") & (absent | {"yaml", "batchflow.spec.model"})


def test_results_and_validate_need_no_network(complete: Path) -> None:
    for words in (("results",), ("validate", "experiment.yaml")):
        assert not imported(complete, *words) & {"openai", "httpx2", "starlette", "uvicorn"}
