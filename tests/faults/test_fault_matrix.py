"""The fast part of `make faults`, against the committed table."""

from pathlib import Path

import pytest

from batchflow.server.fault_kinds import KINDS
from tests.docs.pages import code, page, rows, section
from tests.faults.cases import CASES, Case
from tests.faults.matrix import carry_out, committed
from tests.zygote import Zygote


def test_the_table_has_every_case() -> None:
    assert list(committed()) == [case.name for case in CASES]
    assert len(CASES) >= 40
    assert f"({len(CASES)} of them" in page("README.md")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "-")) for case in CASES if case.fast])
def test_the_table_is_true(case: Case, tmp_path: Path, zygote: Zygote) -> None:
    assert _beginning(carry_out(case, tmp_path, zygote).row()) == _beginning(committed()[case.name])


def _beginning(row: str) -> str:
    """What became of the rows, and what was said first; how much is said after that is a matter of speed."""
    return row.partition("<br>")[0].rstrip(" |\n")


def test_the_catalogue_names_every_fault_and_argument() -> None:
    catalogue = section(page("docs/reference/faults.md"), "## The catalogue")
    written = {cells[0].strip("`"): cells for cells in rows(catalogue, "fault")}
    assert list(written) == list(KINDS)
    for name, kind in KINDS.items():
        assert {"call": "calls", "batch": "batches", "row": "rows"}[kind.scope] == written[name][1]
        assert set(code(written[name][3])) == set(kind.arguments), name
