"""Fixtures for tests that run the whole program."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import Study, Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """The program with its imports done, forked for every command."""
    started = Zygote()
    yield started
    started.close()


@pytest.fixture
def make_study(tmp_path: Path, zygote: Zygote) -> Iterator[Callable[..., Study]]:
    """Makes a study with a server of its own, which runs until the test ends."""
    with ExitStack() as stack:
        count = 0

        def make(**options: Any) -> Study:
            nonlocal count
            count += 1
            return stack.enter_context(Study.make(tmp_path / str(count), zygote, **options))

        yield make
