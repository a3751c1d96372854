"""python -m benchmarks [--quick] [--only build,load] [--rows N] [--huge] [--report FOLDER]

Without words: everything at a million rows; the report and its plot go to benchmarks/, and what was measured beside it:
with --only the other paths stay as they were. --quick: few rows, ratios on the
terminal alone, status 1 only where something is badly wrong.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks import kept
from benchmarks.lab import SMALL, Lab
from benchmarks.paths import CASES, Case
from benchmarks.plot import svg
from benchmarks.report import PLOT, Result, line, page
from benchmarks.whole_runs import ends, growth

MILLION: Final = 1_000_000
ROUNDS, QUICK_ROUNDS = 5, 2


def _say(text: str) -> None:
    print(text, flush=True)


def _measured(lab: Lab, cases: list[Case], rows_of: Callable[[Case], int]) -> Iterator[Result]:
    for case in cases:
        asked = rows_of(case)
        measured = case.measure(lab, asked)
        result = Result(case, asked if measured.rows is None else measured.rows, measured, lab.rounds)
        _say(line(result))
        yield result


def _quick(lab: Lab, cases: list[Case], rows: int | None) -> int:
    """Ratios, and whether one of them is beyond all reason."""
    wrong = [
        found
        for found in _measured(lab, cases, lambda case: rows or case.quick)
        if found.measured.figures.net > found.case.gross
    ]
    for found in wrong:
        _say(f"{found.case.name}: {found.measured.figures.net:.1f} times its limit (at most {found.case.gross:g} here)")
    return int(bool(wrong))


def _full(lab: Lab, told: argparse.Namespace, cases: list[Case]) -> int:
    rows = told.rows or MILLION
    sizes = [size for size in (rows // 100, rows // 10, rows) if size >= SMALL] + [10 * rows] * told.huge
    told.report.mkdir(exist_ok=True)
    found = kept.read(told.report)
    for result in _measured(lab, cases, lambda _: rows):
        found.add(result)
        kept.write(told.report, found)
    if "whole-run" in told.only or not told.only:
        found.whole = ends(lab, (max(rows // 10, SMALL), rows))
        kept.write(told.report, found)
    if "growth" in told.only or not told.only:
        found.growth = growth(lab, sizes)
        kept.write(told.report, found)
        (told.report / PLOT).write_text(svg(found.growth), encoding="utf-8")
    text = page(found.results(), found.growth, found.whole, SMALL)
    _say("\n" + text)
    (told.report / "report.md").write_text(text, encoding="utf-8")
    return 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    names = [case.name for case in CASES] + ["whole-run", "growth"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=f"Paths: {', '.join(names)}.")
    parser.add_argument("--quick", action="store_true", help="few rows, ratios only; fails on gross regressions")
    parser.add_argument("--only", default="", help="names of paths, separated by commas")
    parser.add_argument("--rows", type=int, help="rows of the large studies")
    parser.add_argument("--rounds", type=int, help="turns of every program")
    parser.add_argument("--huge", action="store_true", help="growth up to ten times the rows")
    parser.add_argument("--place", type=Path, help="an existing folder with room; default: the system's temporary one")
    parser.add_argument("--report", type=Path, default=Path(__file__).parent, help="folder for report.md and the plot")
    told = parser.parse_args(arguments)
    told.only = [name for name in told.only.split(",") if name]
    unknown = set(told.only) - set(names)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    return told


def main(arguments: list[str] | None = None) -> int:
    told = _parsed(arguments)
    cases = [case for case in CASES if case.name in told.only or (not told.only and (case.quick or not told.quick))]
    with tempfile.TemporaryDirectory(prefix="batchflow-bench-", dir=told.place) as place:
        lab = Lab(Path(place), told.rounds or (QUICK_ROUNDS if told.quick else ROUNDS))
        return _quick(lab, cases, told.rows) if told.quick else _full(lab, told, cases)


if __name__ == "__main__":
    sys.exit(main())
