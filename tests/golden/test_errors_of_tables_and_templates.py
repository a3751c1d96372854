"""What users read when their table or their prompt template is wrong, word for word.

Run this file with BATCHFLOW_UPDATE_GOLDEN=1 to rewrite the texts; read the diff.
"""

import os
from pathlib import Path

import pytest

from batchflow.errors import DataError, ExitStatus, InvalidInput, TemplateError
from batchflow.plan.study import compile_study
from batchflow.prompts.compile import RowFaults, compile_template
from batchflow.prompts.document import read_json_template, read_template
from batchflow.sources.delimited import import_rows, inspect
from batchflow.sources.rows import Rows
from batchflow.spec.load import load_spec

GOLDEN = Path(__file__).with_name("errors")
TABLES = sorted(path.stem for path in GOLDEN.glob("data-*.csv"))
TEMPLATES = sorted(path.name for path in GOLDEN.glob("template-*") if path.suffix in {".json", ".yaml"})
STUDIES = sorted(path.stem for path in GOLDEN.glob("study-*.yaml"))
COLUMNS = ("ID", "Age", "First Name", "Description")


def read_table(case: str, target: Path) -> None:
    """Import the table and, where a template stands beside it, render it."""
    table, shown = GOLDEN / f"{case}.csv", f"{case}.csv"
    reading = inspect(table, shown)
    names = [column.name for column in reading.columns]
    template_path = table.with_suffix(".json")
    template = compile_template(read_json_template(template_path, ""), names) if template_path.exists() else None
    import_rows(
        table, reading, id_column="ID", required=() if template else names, missing="error", target=target, shown=shown
    )
    if template:
        for chunk in Rows(target).chunks(names):
            try:
                template.render(chunk.columns, chunk.count)
            except RowFaults as error:
                raise DataError(error.as_faults(shown, chunk.first_row, chunk.row_ids)) from error


def compare(case: str, error: InvalidInput) -> None:
    text = error.text() + "\n"
    golden = GOLDEN / f"{case}.txt"
    if os.environ.get("BATCHFLOW_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert error.exit_status is ExitStatus.INVALID
    assert all(fault.cause and fault.remedy for fault in error.faults)


@pytest.mark.parametrize("case", TABLES)
def test_error_of_a_table(case: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_table(case, tmp_path / "rows.parquet")
    compare(case, caught.value)


@pytest.mark.parametrize("name", TEMPLATES)
def test_error_of_a_template(name: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(read_template(GOLDEN / name, name), COLUMNS)
    compare(Path(name).stem, caught.value)
    assert all(fault.line and fault.column for fault in caught.value.faults)


@pytest.mark.parametrize("case", STUDIES)
def test_error_of_a_study(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no file shows alone: endpoint, inserts, parameters and template together."""
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(InvalidInput) as caught:
        compile_study(load_spec(Path(f"{case}.yaml")))
    compare(case, caught.value)
    assert all(fault.line and fault.column for fault in caught.value.faults)


def test_no_text_is_left_over() -> None:
    texts = {path.stem for kind in ("data", "template", "study") for path in GOLDEN.glob(f"{kind}-*.txt")}
    assert texts == {*TABLES, *(Path(name).stem for name in TEMPLATES), *STUDIES}
    assert len(TABLES) >= 8
    assert len(TEMPLATES) >= 8
