"""Where measurements take place: a folder of studies that are planned, answered and loaded once and used by many."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.measuring import BATCHFLOW, PYTHON, Program, Usage, interleaved, middle, run
from benchmarks.studies import CONDITIONS, PER_BATCH, responses, write_study

ENDED: Final = frozenset({0, 4})  # some of the planted answers are refusals and errors
SMALL: Final = 100  # rows of a study that costs its start-up and nothing else
FILES: Final = 20


@dataclass(frozen=True)
class Figures:
    """What was measured, all medians. *_base: the same program with next to nothing to do; None: its start-up is not
    worth subtracting.
    """

    ours: Usage
    limit: Usage
    ours_base: Usage | None = None
    limit_base: Usage | None = None

    @property
    def ratio(self) -> float:
        """Whole processes."""
        return self.ours.cpu / self.limit.cpu

    @property
    def net(self) -> float:
        """Without what both need to start. Of a limit that is nearly all start-up a fifth counts, so that little work
        does not become a large ratio.
        """
        if self.ours_base is None or self.limit_base is None:
            return self.ratio
        work = max(self.limit.cpu - self.limit_base.cpu, self.limit.cpu / 5)
        return (self.ours.cpu - self.ours_base.cpu) / work


@dataclass
class Lab:
    """rounds: turns of every program."""

    place: Path
    rounds: int
    built: set[str] = field(default_factory=set)
    _bases: dict[tuple[Path, tuple[str, ...]], Usage] = field(default_factory=dict)

    def compare(
        self,
        ours: Program,
        limit: Program,
        *,
        bases: tuple[Program, Program] | None = None,
        rounds: int = 0,
    ) -> Figures:
        """Two programs, by turns. bases: the same with next to nothing to do."""
        started = {} if bases is None else dict(zip(("ours_base", "limit_base"), map(self._base, bases), strict=True))
        return Figures(**interleaved({"ours": ours, "limit": limit}, rounds or self.rounds), **started)

    def _base(self, program: Program) -> Usage:
        """What a program needs to start, measured once."""
        known = (program.folder, program.words)
        if known not in self._bases:
            run(program)  # compiles what was not compiled yet
            self._bases[known] = middle([run(program) for _ in range(self.rounds)])
        return self._bases[known]

    def study(self, variant: str, rows: int, *, mark: str = "") -> Path:
        """A study that was not planned yet; rows: its requests."""
        folder = self.place / f"{variant}-{rows}{mark}"
        if folder.name not in self.built:
            per_batch = max(1, rows // FILES) if variant != "factors" and rows < FILES * PER_BATCH else PER_BATCH
            write_study(folder, variant, rows // CONDITIONS.get(variant, 1), per_batch=per_batch)
            self.built.add(folder.name)
        return folder

    def planned(self, variant: str, rows: int, *, mark: str = "") -> Path:
        folder = self.study(variant, rows, mark=mark)
        if not (folder / "runs").exists():
            run(self.plan(folder))
        return folder

    def answered(self, variant: str, rows: int, *, bad: bool = False) -> Path:
        """A run whose answers are all on disk, in no table yet. bad: in each file stands a line that is cut off."""
        folder = self.planned(variant, rows, mark="-bad" if bad else "-answered")
        if not responses(folder):
            told = ("--objects",) * (variant in {"object", "typed"}) + ("--bad",) * bad
            run(Program((PYTHON, "-m", "benchmarks.answers", ".", *told), folder))
        return folder

    def loaded(self, variant: str, rows: int) -> Path:
        folder = self.answered(variant, rows)
        if not (folder / "results.duckdb").exists():
            run(self.load(folder))
        return folder

    def drop(self, folder: Path) -> None:
        """Make room."""
        shutil.rmtree(folder)
        self.built.discard(folder.name)

    @staticmethod
    def plan(folder: Path) -> Program:
        """Build from nothing."""
        before = lambda: shutil.rmtree(folder / "runs", ignore_errors=True)  # noqa: E731 - one line
        return Program((*BATCHFLOW, "plan", "experiment.yaml"), folder, before)

    @staticmethod
    def load(folder: Path) -> Program:
        """Load into a database that is not there yet."""
        before = lambda: (folder / "results.duckdb").unlink(missing_ok=True)  # noqa: E731 - one line
        return Program((*BATCHFLOW, "load", "--rebuild", "."), folder, before, ENDED)

    @staticmethod
    def limit(name: str, *words: object) -> Program:
        return Program((PYTHON, "-m", "benchmarks.limits", name, *map(str, words)))

    @staticmethod
    def ours(name: str, *words: object) -> Program:
        return Program((PYTHON, "-m", "benchmarks.ours", name, *map(str, words)))

    @staticmethod
    def batchflow(folder: Path, *words: str) -> Program:
        return replace(Program((*BATCHFLOW, *words), folder), ends=ENDED)
