"""What was measured, kept beside the report, so that one path can be measured again without all the others."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from benchmarks.lab import Figures
from benchmarks.paths import CASES, Measured
from benchmarks.report import Point, Result

MEASURED: Final = "measured.json"


@dataclass(frozen=True)
class Record:
    """One path. rounds: turns of each program."""

    rows: int
    rounds: int
    figures: Figures
    notes: tuple[str, ...] = ()


@dataclass
class Kept:
    """paths, growth by name; whole: lines about whole runs."""

    paths: dict[str, Record] = field(default_factory=dict)
    growth: dict[str, list[Point]] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """In the place of what was measured of this path before."""
        found = result.measured
        self.paths[result.case.name] = Record(result.rows, result.rounds, found.figures, found.notes)

    def results(self) -> list[Result]:
        """In the order of the paths; names that are none any more are left out."""
        kept = [(case, self.paths[case.name]) for case in CASES if case.name in self.paths]
        return [Result(case, of.rows, Measured(of.figures, of.notes), of.rounds) for case, of in kept]


_KEPT: Final = TypeAdapter(Kept)


def read(folder: Path) -> Kept:
    """What is kept there; nothing where nothing was measured."""
    path = folder / MEASURED
    return _KEPT.validate_json(path.read_bytes()) if path.exists() else Kept()


def write(folder: Path, kept: Kept) -> None:
    (folder / MEASURED).write_bytes(_KEPT.dump_json(kept, indent=1) + b"\n")
