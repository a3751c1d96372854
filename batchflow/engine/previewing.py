"""What would be sent, before anything is written: rows are read into a scratch folder that goes at once."""

from batchflow import files
from batchflow.plan.study import Study
from batchflow.sources.rows import Rows
from batchflow.steps.preview import Preview, Wanted, preview


def preview_study(study: Study, wanted: Wanted) -> Preview:
    """Some prompts of a study, to the byte as a run of it would send them.

    The whole table is read, since its rows decide the ids of the requests. Raises as `validating.check_only` does for
    what it renders, UsageError for rows and conditions that do not exist.
    """
    with files.scratch_folder() as scratch:
        target = scratch / "rows.parquet"
        imported = study.import_rows(target)
        return preview(study, Rows(target), study.fingerprint(imported.sha256), wanted)
