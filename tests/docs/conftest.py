"""The README's study, run once in a copy as its first command does."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


def environment() -> dict[str, str]:
    """Nobody's key, nobody's address: what is run here may only ask this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHFLOW_"))}
    return {**kept, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, as a user would start it."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@dataclass(frozen=True)
class Ran:
    """A folder like a fresh clone's, and what the first command printed in it."""

    folder: Path
    status: int
    stderr: str


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(
        ROOT / "projects", folder / "projects", ignore=shutil.ignore_patterns("runs", "*.duckdb", "*.duckdb.wal")
    )
    ended = python(folder, "-m", "batchflow", "run", "projects/image-appeal/experiment.yaml")
    return Ran(folder, ended.returncode, ended.stderr)
