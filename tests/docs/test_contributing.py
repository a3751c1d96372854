"""CONTRIBUTING's tables are those of the code: the layers of the contract, the crash windows of the registry."""

import re
import tomllib

import pytest

from batchflow import failpoints
from tests.docs.pages import ROOT, code, page, rows

CONTRIBUTING = page("CONTRIBUTING.md")
WINDOWS = {code(row[0])[0]: row for row in rows(CONTRIBUTING, "window")}
CONTRACTS = tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"]


def test_the_layers_are_those_of_the_contract_in_their_order() -> None:
    (layered,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    wanted = [name.strip().removeprefix("batchflow.") for layer in layered for name in layer.split("|")]
    assert [code(row[0])[0] for row in rows(CONTRIBUTING, "layer")] == [*wanted, "server"]


@pytest.mark.parametrize("row", rows(CONTRIBUTING, "layer"), ids=lambda row: row[0])
def test_a_layer_has_its_folder_and_every_cell(row: tuple[str, ...]) -> None:
    assert len(row) == 4
    assert all(row)
    path = ROOT / code(row[1])[0]
    assert path.is_dir() == row[1].endswith("/`")
    assert path.exists()


def test_every_room_of_the_package_is_a_layer() -> None:
    rooms = {path.stem for path in (ROOT / "batchflow").iterdir() if not path.name.startswith(("_", "py.", "."))}
    assert rooms == {code(row[0])[0] for row in rows(CONTRIBUTING, "layer")}


def test_the_crash_table_is_the_registry() -> None:
    assert tuple(WINDOWS) == failpoints.NAMES


@pytest.mark.parametrize("name", failpoints.NAMES)
def test_a_crash_window_is_passed_where_the_table_says(name: str) -> None:
    row = WINDOWS[name]
    assert len(row) == 5
    assert all(row)
    where = ROOT / "batchflow" / code(row[4])[0]
    assert re.search(rf'failpoints\.(hit|armed)\("{re.escape(name)}"\)', where.read_text(encoding="utf-8"))


def test_the_commands_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))
    named = {command.split()[-1] for row in rows(CONTRIBUTING, "command") for command in code(row[0])[:1]}
    assert named - {".ci/run"} <= targets
    assert {"check", "crash", "mutate", "bench"} <= named


def test_the_size_budget_is_the_one_that_is_checked() -> None:
    checked = page("tests/architecture/test_house.py")
    budget = re.search(r"Function ≤ (\d+) lines, file ≤ (\d+) lines", CONTRIBUTING)
    assert budget is not None
    assert f"FUNCTION_LINES, FILE_LINES = {budget[1]}, {budget[2]}" in checked
