"""What is refused before anything is sent: the reason and a way out are said, and the server's own account shows no
call at all.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import Study

Make = Callable[..., Study]
RUN = ("run", "experiment.yaml", "--yes", "--json")
CAPPED = {"model": "gpt-4o-mini", "max_tokens": 100}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/{{topic}}.png"}}
SEEN = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]}]
PICTURED = {
    "prompt": None, "parameters": None, "template": {"model": "gpt-6-luna", "max_tokens": 9, "messages": SEEN},
    "prices": {"gpt-6-luna": {"input": 1, "output": 1}},
}  # fmt: skip
FREE = {"budget": {"max_usd": 100}}


def untouched(study: Study) -> bool:
    """Whether the server was never called, and nothing was noted as sent."""
    noted = [event["kind"] for event in study.events()] if list(study.folder.glob("runs/[!.]*/manifest.json")) else []
    return not study.server.audit()["calls"] and not {"uploaded", "intent", "receipt"} & set(noted)


@pytest.mark.parametrize(
    ("keys", "status", "reason", "way_out"),
    [
        pytest.param(
            {"parameters": CAPPED, "budget": {"max_usd": 0.0001}},
            8, "more than budget.max_usd", "raise budget.max_usd", id="over budget",
        ),
        pytest.param(
            {"parameters": {"model": "my-own", "max_tokens": 5}, **FREE},
            8, "no price of my-own is known", "prices", id="unknown price",
        ),
        pytest.param(
            {"parameters": {"model": "gpt-4o-mini"}, **FREE}, 8, "nothing caps the answers", "max", id="no cap",
        ),
        pytest.param(
            {**PICTURED, **FREE}, 8, "cannot be weighed", "assume_usd_per_request", id="image without a rule",
        ),
        pytest.param(
            {"data": {"source": "rows.csv", "id": "id", "send": []}},
            3, "the column 'topic' must not leave this machine", "data.send", id="column not allowed",
        ),
    ],
)  # fmt: skip
def test_what_must_not_be_sent(keys: dict[str, Any], status: int, reason: str, way_out: str, make_study: Make) -> None:
    study = make_study()
    study.change(**keys)
    for _ in range(2):  # the same again, also where the run was built by then
        ended = study.run()
        assert ended.status == status, ended.stderr
        told, _, hint = ended.stderr.rpartition("hint: ") if status == 8 else (ended.stderr, "", ended.stderr)
        assert reason in told
        assert way_out in hint
        assert "Traceback" not in ended.stderr
    assert untouched(study)


def test_a_request_file_that_was_changed(make_study: Make) -> None:
    study = make_study()
    assert study.run("plan", "experiment.yaml").status == 0
    path = study.run_folder / "requests" / "r1-00003.jsonl"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"topic", b"tonic", 1))
    ended = study.run()
    assert ended.status == 3
    assert "1 request file is not the one that was built" in ended.stderr
    assert "put back what was there" in ended.stderr
    assert untouched(study)
    path.write_bytes(before)
    assert study.run().status == 0


@pytest.mark.parametrize(
    ("source", "module", "extra"),
    [
        ("rows.xlsx", "python_calamine", "xlsx"),
        ("rows.sav", "pyreadstat", "stats"),
        ("s3://nowhere/rows.csv", "fsspec", "remote"),
    ],
)
def test_an_extra_that_is_missing(source: str, module: str, extra: str, make_study: Make, tmp_path: Path) -> None:
    study = make_study()
    study.change(data={"source": source, "id": "id"})
    if "://" not in source:
        (study.folder / source).write_bytes(b"PK\3\4")
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / f"{module}.py").write_text(f"raise ModuleNotFoundError('No module named {module}', name='{module}')\n")
    env = os.environ | {
        "OPENAI_BASE_URL": study.server.base_url, "OPENAI_API_KEY": "sk-test", "PYTHONPATH": str(absent),
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "batchflow", *RUN],
        cwd=study.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    assert "is not installed" in ended.stderr
    assert f"pip install 'batchflow-llm[{extra}]'" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert untouched(study)
