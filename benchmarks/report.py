"""What was measured, as a page: all ratios, cost against the number of rows, and the machine without names."""

import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.paths import Case, Measured

PLOT: Final = "cost.svg"
FLAT: Final = 1.25  # the most that memory may grow where it is to be flat


@dataclass(frozen=True)
class Point:
    """What one size has cost. cpu in seconds, memory in MB."""

    rows: int
    cpu: float
    memory: float


@dataclass(frozen=True)
class Result:
    """A path, and the medians of so many rounds."""

    case: Case
    rows: int
    measured: Measured
    rounds: int

    @property
    def ratio(self) -> float:
        """The ratio that counts."""
        return self.measured.figures.net if self.case.net else self.measured.figures.ratio

    @property
    def verdict(self) -> str:
        if self.case.must is None:
            return "reported"
        ratio = self.ratio
        if self.case.aim is not None and ratio <= self.case.aim:
            return "aim reached"
        return "reached" if ratio <= self.case.must else "**missed**"


def slope(points: Sequence[Point]) -> float:
    """How cost grows with the rows: the exponent, by least squares through the logarithms."""
    xs = [math.log(point.rows) for point in points]
    ys = [math.log(point.cpu) for point in points]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def machine() -> str:
    """The machine, without names."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    try:
        model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        model = None
    kind = model[1].split("@")[0].strip() if model else platform.machine()
    return (
        f"{os.cpu_count()} cores ({kind}), {memory:.0f} GB of memory, {platform.system()}, Python "
        f"{platform.python_version()}"
    )


def line(result: Result) -> str:
    """A result in a line of a terminal."""
    figures = result.measured.figures
    told = f"{result.case.name:14} cpu {figures.ours.cpu:8.2f} s / {figures.limit.cpu:7.3f} s = {figures.ratio:7.2f}"
    wanted = "" if result.case.must is None else f" (must {result.case.must}, aim {result.case.aim})"
    notes = "; ".join(result.measured.notes)
    return f"{told}, net {figures.net:7.2f}{wanted}, {figures.ours.memory:.0f} MB. {notes}"


def _row(result: Result) -> str:
    case, figures = result.case, result.measured.figures
    told, net = f"{figures.ratio:.2f}", f"{figures.net:.2f}"
    wanted = ("", "") if case.must is None else (f"{case.must:g}", f"{case.aim:g}")
    cells = (
        case.title,
        case.limit,
        f"{result.rows:,}" if result.rows else "",
        str(result.rounds),
        f"{figures.ours.cpu:.2f}",
        f"{figures.limit.cpu:.3f}",
        *((told, f"**{net}**") if case.net else (f"**{told}**", net)),
        *wanted,
        result.verdict,
        f"{figures.ours.memory:.0f}",
        "; ".join(result.measured.notes),
    )
    return f"| {' | '.join(cells)} |"


_HEAD: Final = (
    "| path | limit | rows | rounds | cpu s | limit cpu s | ratio | net | must | aim | | peak MB | notes |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | --- |"
)
_EXPLAINED: Final = """\
Each line compares a whole process of ours (user + system time, as the kernel counts it) with a whole limit program
that moves the same bytes and does nothing else. Both take turns within one run; shown are medians of all rounds.
Paths may have been measured at different times.
Ratios can be compared between machines, seconds cannot. *net* is the ratio without what either side needs to start,
measured on {small} rows. `must` and `aim` are meant for a million rows, and for the ratio in bold: that of whole
processes, or *net* where the import of the provider's SDK is most of what a process does.
"""


def _growth(name: str, points: Sequence[Point]) -> str:
    sizes = ", ".join(f"{p.rows:,} rows: {p.cpu:.2f} s, {p.memory:.0f} MB" for p in points)
    told = f"slope **{slope(points):.2f}**" if len(points) > 1 else "one size"
    return f"- {name}: {told} ({sizes})"


def page(results: Sequence[Result], growth: dict[str, list[Point]], ends: Sequence[str], small: int) -> str:
    """The report. growth: points by path; ends: lines about whole runs."""
    parts = [
        "# What batchflow costs\n",
        f"Measured by `python -m benchmarks`, the last time on {machine()}.\n",
        _EXPLAINED.format(small=small),
        _HEAD,
        *map(_row, results),
    ]
    if growth:
        parts += ["\n## Cost against the number of rows\n", f"![CPU seconds against rows]({PLOT})\n"]
        parts += ["A slope of 1 is cost in proportion to the rows; start-up makes it less.\n"]
        parts += [_growth(name, points) for name, points in growth.items()]
    if ends:
        parts += ["\n## Whole runs on the local server\n", *(f"- {told}" for told in ends)]
    return "\n".join(parts) + "\n"
