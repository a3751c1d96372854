"""Fixtures for tests that run the whole program."""

import atexit
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import Study
from tests.zygote import Zygote


def pytest_configure() -> None:
    # what DuckDB's binding says when Python itself ends is no word about a test; the closing line shall be the last
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    # under nohup the program would inherit that SIGHUP is ignored, and rightly ignore it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
