"""Keeps `REVIEW.md` in a run's folder: what `steps/review.py` says of the plan, replaced where it says something else.

It follows from the rest of the folder and the prices, so it may be deleted at any time; nothing of ours reads it.
"""

from pathlib import Path

from batchflow import files
from batchflow.engine.run import RunView
from batchflow.plan.study import Study
from batchflow.steps.forecasting import FirstRound, price_book
from batchflow.steps.review import review


def write_review(run: RunView, study: Study) -> Path:
    """The file, up to date. Whoever advances the run is not disturbed. Prices are of the day of the plan."""
    plan = run.plan
    book = price_book(study.spec.experiment, study.target, moment=plan.created_at)
    cost = None if plan.simulated else FirstRound(run.folder, plan, run.state, book).whole
    target, content = run.folder.review, review(run.folder, plan, run.state, cost)
    if not target.is_file() or target.read_bytes() != content:
        files.atomic_write(target, content)
    return target
