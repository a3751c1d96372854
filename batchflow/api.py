"""What Python programs import from `batchflow`: the way to the results of a run."""

import os
from pathlib import Path
from typing import Final

from batchflow.engine.finding import find_run, shown_instead
from batchflow.errors import UsageError
from batchflow.sinks.handle import Results, told
from batchflow.sources.database import is_duckdb

__all__ = ["Results", "load"]

_SUFFIXES: Final = frozenset({".duckdb", ".db"})


def load(path: str | os.PathLike[str], *, run: str | None = None) -> Results:
    """The results of a run, read only.

    path: an experiment file or its folder (as it stands, or, where that has no answers yet, its current run), a run's
    folder, or a results database (the current run of each experiment in it).
    run: another run of the same database, by its name.
    Errors, all of them `batchflow.errors.BatchflowError`: UsageError (no run is there), SetupError (no database, the
    run is not in it), SpecError (the experiment file has faults), DatabaseHeld (a program writes to it), SinkError.
    """
    place = Path(path)
    with told():
        if _is_database(place):
            return Results(place, run)
        target = find_run(str(place))
        if run is None:
            target = shown_instead(target) or target
        return Results(target.database, run or target.plan.run)


def _is_database(path: Path) -> bool:
    if path.is_file():
        return is_duckdb(path) or path.suffix.lower() in _SUFFIXES
    if path.suffix.lower() in _SUFFIXES and not path.exists():
        raise UsageError(
            f"{path}: there is no such results database", hint="`batchflow run` makes it; or name its study"
        )
    return False
