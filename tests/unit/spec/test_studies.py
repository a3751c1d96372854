"""The studies that come with batchflow load as they stand."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from batchflow.spec.load import load_spec
from batchflow.spec.schema import schema_text
from batchflow.spec.starter import starter_files

PROJECTS = Path(__file__).parents[3] / "projects"
MODELINE = "# yaml-language-server: $schema=./experiment.schema.json\n"


@pytest.mark.parametrize("path", sorted(PROJECTS.glob("*/experiment.yaml")), ids=lambda path: path.parent.name)
def test_projects_load(path: Path) -> None:
    spec = load_spec(path)
    assert spec.experiment.provider.name == "local"
    assert path.read_text(encoding="utf-8").startswith(MODELINE)
    assert spec.experiment.data.source is not None
    assert spec.resolve(spec.experiment.data.source).is_file()


@pytest.mark.parametrize("name", sorted(path.parent.name for path in PROJECTS.glob("*/experiment.yaml")))
def test_the_lines_for_openai_are_there_as_comments(name: str, tmp_path: Path) -> None:
    text = (PROJECTS / name / "experiment.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith(("provider:", "polling:"))]
    changed = [line.removeprefix("# ") if line.startswith(("# provider:", "# polling:")) else line for line in kept]
    path = tmp_path / "experiment.yaml"
    path.write_text("\n".join(changed), encoding="utf-8")
    experiment = load_spec(path).experiment
    assert experiment.provider.name == "openai"
    assert experiment.polling.interval == 60.0


def test_the_study_of_the_deck() -> None:
    folder = PROJECTS / "image-appeal"
    body = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    assert list(body) == [
        "model",
        "messages",
        "temperature",
        "max_tokens",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "response_format",
    ]
    assert body["messages"][0]["content"][0]["text"].endswith("Here is your persona: {{Description}}")
    assert set(body["messages"][1]["content"][1]["image_url"]) == {"url"}
    text = (folder / "personas.csv").read_text(encoding="utf-8")
    assert text.startswith("ID, Age, College, Description\n1, 28, No, Hank Rodriguez is a 28 year old black architect ")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["ID"] for row in rows] == [str(number) for number in range(1, 27)]
    assert all(row[" Description"].startswith(" ") and row[" Description"].endswith(".") for row in rows)


def test_the_starter_loads(tmp_path: Path) -> None:
    files = starter_files()
    assert set(files) == {"experiment.yaml", "answers.csv", "experiment.schema.json"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    spec = load_spec(tmp_path / "experiment.yaml")
    assert spec.experiment.provider.name == "local"
    assert spec.experiment.prompt is not None
    assert spec.content.decode().startswith(MODELINE)
    assert files["experiment.schema.json"].decode() == schema_text()
    rows = list(csv.DictReader(files["answers.csv"].decode().splitlines()))
    assert len(rows) == 5
    assert all(row["answer"] and row["age"].isdigit() for row in rows)
    assert spec.experiment.data.id in rows[0]


def test_the_package_itself_imports_no_pydantic() -> None:
    code = "import sys, batchflow.spec; sys.exit('pydantic' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
