"""The fast part of `make mutate`: every patch still applies, and one is tried."""

import subprocess
from pathlib import Path

import pytest

from tests.mutations.__main__ import HERE, MARK, ROOT, one

PATCHES = sorted(HERE.glob("*.patch"))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_patch_applies_and_names_its_killers(patch: Path) -> None:
    command = ["patch", "-p1", "-s", "--dry-run", "-i", str(patch)]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
    assert MARK in patch.read_text()


def test_one_mutation_is_killed() -> None:
    assert one(HERE / "no-draw.patch")
