"""The runs of a project: the folder beside its spec that holds them, the lock under which they are planned, and how one
is found by its hash.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from batchflow import clock, files
from batchflow.errors import RunBusy, SetupError, UsageError
from batchflow.identity import FINGERPRINT_DIGITS
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan, read_plan

RUNS: Final = "runs"
MANIFEST: Final = "manifest.json"
LOCK_PATIENCE: Final = 30.0  # seconds: planning is short, a second command waits for it
_RUN: Final = re.compile(r"^(?P<name>.+)-(?P<digits>[0-9a-f]{8})(?:-(?P<again>[1-9][0-9]*))?$")


class Project(NamedTuple):
    """The folder of a spec, and what was run from it."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / RUNS

    def create(self) -> None:
        """Make the runs' folder: private, and left out of version control by itself."""
        files.make_folder(self.runs, private=True)
        ignore = self.runs / ".gitignore"
        if not ignore.exists():
            files.atomic_write(ignore, b"*\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the project's lock while planning; raises RunBusy if another command keeps holding it."""
        self.create()
        lock, deadline = files.FileLock(self.runs / ".lock"), clock.monotonic() + LOCK_PATIENCE
        while not lock.acquire():
            if clock.monotonic() > deadline:
                raise RunBusy(f"another command is planning in {self.folder}", hint="try again when it has finished")
            clock.sleep(0.1)
        with lock:
            files.sweep(self.runs)
            yield

    def folders(self) -> Iterator[RunFolder]:
        """Every run, oldest name first; a folder with another run's name is none (`misnamed`)."""
        return (folder for folder, plan in self._read() if plan is None or plan.run == folder.run)

    def misnamed(self) -> Iterator[tuple[RunFolder, Plan]]:
        """Folders that hold a run of another name: copies, or runs that were renamed. They are left out."""
        return ((folder, plan) for folder, plan in self._read() if plan is not None and plan.run != folder.run)

    def check_names(self) -> list[str]:
        """A word on every copy of a run; raises UsageError for a run that is here under another name only.

        Without its record, what it has bought would be bought again.
        """
        found = list(self.misnamed())
        for folder, plan in found:
            if not (self.runs / plan.run / MANIFEST).is_file():
                raise not_its_name(folder, plan)
        return [f"{folder.path} holds a copy of the run {plan.run} and is left out" for folder, plan in found]

    def _read(self) -> Iterator[tuple[RunFolder, Plan | None]]:
        """What has a manifest, with the plan in it where it can be read."""
        for path in sorted(self.runs.iterdir()) if self.runs.is_dir() else ():
            if not path.name.startswith(".") and (path / MANIFEST).is_file():
                plan = None
                with suppress(SetupError):
                    plan = read_plan(path / MANIFEST)
                yield RunFolder(path), plan

    def plans(self) -> Iterator[tuple[RunFolder, Plan]]:
        """The runs whose manifest can be read; `unreadable` names the others."""
        return ((folder, plan) for folder, plan in self._read() if plan is not None and plan.run == folder.run)

    def unreadable(self) -> Iterator[Path]:
        """The runs whose manifest cannot be read: nothing is known of what they have bought."""
        return (folder.path for folder, plan in self._read() if plan is None)

    def same(self, plan_fingerprint: str) -> list[RunFolder]:
        """The runs with this fingerprint, the first one first, `--fresh` ones after it in their order."""
        found = [folder for folder, plan in self.plans() if plan.fingerprint == plan_fingerprint]
        return sorted(found, key=lambda folder: again_of(folder.run))

    def newest_first(self) -> list[tuple[RunFolder, Plan]]:
        """The runs that can be read, the one planned last before the others."""
        return sorted(self.plans(), key=lambda pair: (pair[1].created_at, again_of(pair[0].run)), reverse=True)


def not_its_name(folder: RunFolder, plan: Plan) -> UsageError:
    """The error about a folder that holds a run of another name: the name is the run's identity."""
    return UsageError(
        f"{folder.path} holds the run {plan.run} under another name",
        hint=f"a run is known by its folder's name: name the folder {plan.run} again if it was renamed; "
        "a copy is for safe keeping, work with the run itself",
    )


def again_of(run: str) -> int:
    """1 for a first run, 2, 3 … for fresh ones."""
    match = _RUN.match(run)
    return int(match["again"] or 1) if match else 1


def name_run(experiment: str, plan_fingerprint: str, again: int) -> str:
    suffix = "" if again == 1 else f"-{again}"
    return f"{experiment}-{plan_fingerprint[:FINGERPRINT_DIGITS]}{suffix}"
