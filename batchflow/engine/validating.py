"""Whether everything that would be sent is fit to be sent: rendered and checked, nothing of it written."""

from collections.abc import Iterator
from contextlib import contextmanager

from batchflow import files
from batchflow.plan.study import Study
from batchflow.prompts.personal import Finding
from batchflow.sources.rows import AnyRows, Rows
from batchflow.steps.requests import Watch, parts, unwatched


def check_only(study: Study, watch: Watch = unwatched) -> tuple[int, tuple[Finding, ...]]:
    """Render and check every request and write nothing; returns how many there are, and what they hold of personal
    data.
    """
    lint = study.lint()
    with _rows(study) as rows:
        requests = sum(part.requests for part in parts(study, rows, "0" * 64, lint=lint, watch=watch))
    return requests, () if lint is None else lint.findings()


@contextmanager
def _rows(study: Study) -> Iterator[AnyRows]:
    """The rows of a study: in memory where they are few, else in a scratch folder that goes at once."""
    few = study.few_rows()
    if few is not None:
        yield few
        return
    with files.scratch_folder() as scratch:
        target = scratch / "rows.parquet"
        study.import_rows(target)
        yield Rows(target)
