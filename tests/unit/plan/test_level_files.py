"""Files of levels: what is refused, and what does not tear a level apart."""

import json
from pathlib import Path

import pytest

from batchflow.errors import DataError
from batchflow.plan.levels import read_factors
from batchflow.spec.load import load_spec


def levels(folder: Path, name: str, content: str) -> list[object]:
    (folder / name).write_text(content, newline="")
    design = {"factors": {"tone": {"file": name}}}
    study = {"version": 1, "name": "t", "data": {"source": "a.csv"}, "prompt": {"user": "{{tone}}"}, "design": design}
    (folder / "experiment.yaml").write_text(json.dumps(study))
    (factor,) = read_factors(load_spec(folder / "experiment.yaml"))
    return [level.value for level in factor.levels]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"low": "a", "low": "b"}', "a key stands twice"),
        ("[NaN]", "NaN is no JSON number"),
        ("[1e999]", "larger than any"),
        (f"[{'9' * 5000}]", "larger than any"),
        ("[" * 100_000, "nested too deeply"),
        ('["\\ud83d"]', "half of a character"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        levels(tmp_path, "l.json", content)


def test_numbers_are_as_they_were(tmp_path: Path) -> None:
    found = levels(tmp_path, "l.json", "[1, 1.50, true, null]")
    assert [type(value).__name__ for value in found] == ["int", "JsonNumber", "bool", "NoneType"]


def test_only_line_ends_part_levels(tmp_path: Path) -> None:
    assert levels(tmp_path, "l.txt", "a\u2028b\r\n\nc\x0cd\re\n") == ["a\u2028b", "c\x0cd", "e"]
