"""Whole processes, measured by what the kernel counted: user + system time, and the peak of memory. Programs that are
compared take turns, so that what else the machine does meets all of them.

The peak that the kernel tells includes the instant of the fork: whoever measures must stay small itself.
"""

import atexit
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Final

from benchmarks.studies import ROOT

PYTHON: Final = sys.executable
BATCHFLOW: Final = (PYTHON, "-m", "batchflow")
NOTHING: Final = (PYTHON, "-c", "pass")
KB_PER_MB: Final = 1000 if sys.platform != "darwin" else 1_000_000


def _nothing() -> None:
    """No preparation."""


@dataclass(frozen=True)
class Program:
    """A command of its own process. before: what prepares each turn, unmeasured; ends: statuses that are no failure."""

    words: tuple[str, ...]
    folder: Path = field(default_factory=Path.cwd)
    before: Callable[[], None] = _nothing
    ends: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class Usage:
    """cpu, wall in seconds; memory: the peak in MB."""

    cpu: float
    wall: float
    memory: float


@cache
def bytecode() -> str:
    """A folder for compiled modules, so that nobody's first start is compared with another's second."""
    folder = mkdtemp(prefix="batchflow-bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def environment() -> dict[str, str]:
    """Nobody's key and settings; modules are compiled once and kept, whatever the environment says of it."""
    ours = ("OPENAI_", "BATCHFLOW_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": bytecode(), "NO_PROXY": "127.0.0.1"}


def run(program: Program) -> Usage:
    """One turn of a program; RuntimeError with its words where it fails."""
    program.before()
    complaints = Path(bytecode()) / f"{os.getpid()}.stderr"
    began = time.monotonic()
    with complaints.open("wb") as stderr:
        process = subprocess.Popen(
            program.words, cwd=program.folder, stdout=subprocess.DEVNULL, stderr=stderr, env=environment()
        )
        _, ended, told = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode not in program.ends:
        raise RuntimeError(f"{' '.join(program.words)}: {process.returncode}\n{complaints.read_text()}")
    return usage_of(told, began)


def usage_of(told: resource.struct_rusage, began: float) -> Usage:
    return Usage(told.ru_utime + told.ru_stime, time.monotonic() - began, told.ru_maxrss / KB_PER_MB)


def interleaved(programs: Mapping[str, Program], rounds: int) -> dict[str, Usage]:
    """The medians of so many rounds, in each of which every program has one turn."""
    turns = [{name: run(program) for name, program in programs.items()} for _ in range(rounds)]
    return {name: middle([turn[name] for turn in turns]) for name in programs}


def middle(usages: list[Usage]) -> Usage:
    return Usage(*(median(getattr(usage, name) for usage in usages) for name in ("cpu", "wall", "memory")))
