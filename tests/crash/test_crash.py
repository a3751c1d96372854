"""The fast part of `make crash`: each window once, the combinations, a few seeds."""

from pathlib import Path

import pytest

from tests.crash.cases import Case, carry_out, combinations, failpoint_cases, random_case
from tests.crash.server_cases import alternating_case, server_case
from tests.zygote import Zygote


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in failpoint_cases()])
def test_failpoint(case: Case, tmp_path: Path, zygote: Zygote) -> None:
    assert "billed once" in carry_out(case, tmp_path, zygote)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "-")) for case in combinations()])
def test_combination(case: Case, tmp_path: Path, zygote: Zygote) -> None:
    assert "billed once" in carry_out(case, tmp_path, zygote)


@pytest.mark.parametrize("seed", [101])
def test_random_kills(seed: int, tmp_path: Path, zygote: Zygote) -> None:
    assert "billed once" in random_case(seed, tmp_path, zygote)


def test_server_killed_at_random_moments(tmp_path: Path) -> None:
    assert "rows executed once" in server_case(101, tmp_path)


def test_runner_and_server_killed_by_turns(tmp_path: Path, zygote: Zygote) -> None:
    assert "billed once" in alternating_case(101, tmp_path, zygote)
