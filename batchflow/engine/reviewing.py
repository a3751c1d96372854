"""Keeps `REVIEW.md` in a run's folder: what `steps/review.py` says of the plan, replaced where it says something else.

It follows from the rest of the folder, so it may be deleted at any time; nothing of ours reads it.
"""

from pathlib import Path

from batchflow import files
from batchflow.engine.run import RunView
from batchflow.steps.review import review


def write_review(run: RunView) -> Path:
    """The file, up to date. Whoever advances the run is not disturbed."""
    target, content = run.folder.review, review(run.folder, run.plan, run.state)
    if not target.is_file() or target.read_bytes() != content:
        files.atomic_write(target, content)
    return target
