"""What users read when their experiment file is wrong, word for word.

`BATCHFLOW_UPDATE_GOLDEN=1 pytest tests/unit/spec/test_golden_errors.py` rewrites the texts; read the diff.
"""

import os
from pathlib import Path

import pytest

from batchflow.errors import ExitStatus, SpecError
from batchflow.spec.load import load_spec

GOLDEN = Path(__file__).parents[2] / "golden" / "errors"
CASES = sorted(path.stem for path in GOLDEN.glob("spec-*.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_error_text(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(SpecError) as caught:
        load_spec(Path(f"{case}.yaml"))
    text = caught.value.text() + "\n"
    golden = GOLDEN / f"{case}.txt"
    if os.environ.get("BATCHFLOW_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_every_fault_has_a_place_and_a_remedy(case: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(GOLDEN / f"{case}.yaml")
    assert caught.value.exit_status is ExitStatus.INVALID
    for fault in caught.value.faults:
        assert fault.cause
        assert fault.remedy
        assert fault.line is not None
        assert fault.column is not None


def test_there_are_at_least_fourteen_cases() -> None:
    assert len(CASES) >= 14
    assert {path.stem for path in GOLDEN.glob("spec-*.txt")} == set(CASES)
