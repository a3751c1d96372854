"""The OpenAPI document says what the server does: schemathesis finds no undocumented answer and no 5xx."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batchflow.server.fault_kinds import ROUTES
from batchflow.server.openapi import document
from tests.crash.harness import slow
from tests.server_process import ServerProcess

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.parametrize("examples", [6, *slow(40)])
def test_every_answer_is_as_documented(tmp_path: Path, examples: int) -> None:
    with ServerProcess(tmp_path / "store", token=ServerProcess.new_token()) as server:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
            f"http://127.0.0.1:{server.port}/openapi.json",
            *("-H", f"Authorization: Bearer {server.key}", "--max-examples", str(examples)),
            *("--no-color", "--generation-deterministic"),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert f"Tested: {len(ROUTES)}" in ended.stdout


def test_nothing_in_the_document_comes_from_outside() -> None:
    assert "http" not in json.dumps(document()).replace('"type": "http"', "")
