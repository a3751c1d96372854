"""Rows end to end on the local server, with the peaks of runner and server; and cost for growing numbers of rows."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from benchmarks.lab import SMALL, Lab
from benchmarks.measuring import BATCHFLOW, KB_PER_MB, Usage, environment, run, usage_of
from benchmarks.report import FLAT, Point


def _peak(pid: int) -> float:
    """VmHWM of a process in MB; 0 once it is gone, and where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) / KB_PER_MB for line in status.splitlines() if line.startswith("VmHWM")), 0)


class _Watch:
    """Looks at the server of a run again and again, for its peak."""

    def __init__(self, study: Path) -> None:
        self._study, self._ended, self.peak = study, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            for info in self._study.glob("runs/*/server/server.json"):
                try:
                    self.peak = max(self.peak, _peak(int(json.loads(info.read_bytes())["pid"])))
                except (OSError, ValueError, KeyError):
                    continue


def whole_run(lab: Lab, rows: int) -> tuple[Usage, float]:
    """A run from nothing: what the runner (its server with it) has used, and the server's peak in MB."""
    study = lab.study("plain", rows, mark="-whole")
    began = time.monotonic()
    words = (*BATCHFLOW, "run", "experiment.yaml", "--json")
    with _Watch(study) as watch:
        process = subprocess.Popen(
            words, cwd=study, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, told = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    lab.drop(study)
    return usage_of(told, began), watch.peak


def ends(lab: Lab, sizes: Sequence[int]) -> list[str]:
    """A line for each size, and the growth of the peaks."""
    found = [whole_run(lab, rows) for rows in sizes]
    told = [
        f"{rows:,} rows: {usage.wall:.0f} s, CPU {usage.cpu:.0f} s, peak of the runner {usage.memory:.0f} MB, "
        f"of the server {server:.0f} MB"
        for rows, (usage, server) in zip(sizes, found, strict=True)
    ]
    runner, server = found[-1][0].memory / found[0][0].memory, found[-1][1] / max(found[0][1], 1)
    told.append(
        f"peak memory, {sizes[-1]:,} rows / {sizes[0]:,} rows: runner {runner:.2f}, server {server:.2f} (flat: {FLAT})"
    )
    return told


def _build(lab: Lab, rows: int) -> Point:
    folder = lab.study("plain", rows, mark="-grown")
    usage = run(lab.plan(folder))
    lab.drop(folder)
    return Point(rows, usage.cpu, usage.memory)


def _load(lab: Lab, rows: int) -> Point:
    folder = lab.answered("plain", rows)
    usage = run(lab.load(folder))
    lab.drop(folder)
    return Point(rows, usage.cpu, usage.memory)


GROWING: dict[str, Callable[[Lab, int], Point]] = {"build": _build, "load": _load}


def growth(lab: Lab, sizes: Sequence[int]) -> dict[str, list[Point]]:
    run(lab.load(lab.answered("plain", SMALL)))  # compiles what was not compiled yet
    return {name: [measure(lab, rows) for rows in sizes] for name, measure in GROWING.items()}
