"""The published JSON Schema says what the models say, and every committed copy is the generated one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchflow.spec.model import Experiment
from batchflow.spec.schema import schema_text

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(schema_text())
LEAST: dict[str, Any] = {"version": 1, "name": "a", "data": {"source": "a.csv"}, "prompt": {"user": "x"}}


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", SCHEMA
    yield from SCHEMA["$defs"].items()


@pytest.mark.parametrize("path", [ROOT / "schemas", *sorted((ROOT / "projects").iterdir())], ids=lambda path: path.name)
def test_no_drift(path: Path) -> None:
    committed = path / "experiment.schema.json"
    assert committed.read_text(encoding="utf-8") == schema_text(), (
        f"regenerate it: batchflow schema > {committed.relative_to(ROOT)}"
    )


def test_head() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"] == "batchflow/experiment.schema.json"
    assert SCHEMA["title"]
    assert schema_text().endswith("}\n")


def test_every_key_is_described_with_an_example() -> None:
    for name, schema in objects():
        assert schema["additionalProperties"] is False, name
        for key, entry in schema["properties"].items():
            assert entry.get("description"), f"{name}.{key}"
            assert entry.get("examples"), f"{name}.{key}"
            assert ("default" in entry) == (key not in schema["required"] if "required" in schema else True), (
                f"{name}.{key}"
            )


def test_defaults_are_those_of_the_models() -> None:
    plain = Experiment.model_validate(LEAST)
    for key, entry in SCHEMA["properties"].items():
        if "default" in entry and key != "prompt":
            assert Experiment.model_validate(LEAST | {key: entry["default"]}) == plain, key
    for key in ("limits", "polling", "retry", "output"):
        definition = SCHEMA["$defs"][SCHEMA["properties"][key]["$ref"].removeprefix("#/$defs/")]
        spelt_out = {name: entry["default"] for name, entry in definition["properties"].items()}
        assert Experiment.model_validate(LEAST | {key: spelt_out}) == plain, key
        assert SCHEMA["properties"][key]["default"] == spelt_out, key


def test_examples_are_valid() -> None:
    for key, entry in SCHEMA["properties"].items():
        for example in entry["examples"]:
            base = {name: value for name, value in LEAST.items() if name != "prompt" or key != "template"}
            assert Experiment.model_validate(base | {key: example})
    for key in ("limits", "polling", "retry", "output"):
        definition = SCHEMA["$defs"][SCHEMA["properties"][key]["$ref"].removeprefix("#/$defs/")]
        for name, entry in definition["properties"].items():
            for example in entry["examples"]:
                assert Experiment.model_validate(LEAST | {key: {name: example}})


def test_the_provider_has_a_short_form() -> None:
    forms = SCHEMA["properties"]["provider"]["anyOf"]
    assert [form.get("type") or form.get("$ref") for form in forms] == ["string", "#/$defs/ProviderSpec"]
    assert SCHEMA["properties"]["provider"]["default"] == "local"
