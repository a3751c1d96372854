"""Create a batch for an uploaded file: the one call that costs money.

Crash windows: `start.before-intent` and `start.after-intent` (nothing was created), `start.after-create` (the batch
runs and only the provider knows: the next run finds it by the intent's id), `start.after-receipt` (nothing is open).
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from batchflow import failpoints
from batchflow.providers.base import Batch, BatchProvider
from batchflow.steps.base import Absent, Evidence, Found, Reconciliation, StepName, Unsure
from batchflow.steps.listing import Walk

INTENT: Final = "batchflow_intent"
SHA256: Final = "batchflow_sha256"
SLACK: Final = 3600.0  # seconds by which a batch may look older than its file


class StartTask(NamedTuple):
    """intent is the random id that stands in the journal and travels in the batch's metadata; description is the
    user's own word there. expires_after: seconds for which the provider is to keep the answers.
    """

    file_id: str
    endpoint: str
    intent: str
    run: str
    shard: str
    sha256: str
    description: str = ""
    expires_after: int | None = None

    def metadata(self) -> Mapping[str, str]:
        labels = {
            INTENT: self.intent,
            "batchflow_run": self.run,
            "batchflow_shard": self.shard,
            SHA256: self.sha256,
            "description": self.description,
        }
        return {name: value for name, value in labels.items() if value}


class Start:
    name = StepName.START

    def __init__(self, provider: BatchProvider, check_writer: Callable[[], None]) -> None:
        self._provider, self._check_writer = provider, check_writer

    def perform(self, task: StartTask) -> Batch:
        self._check_writer()  # this process may have slept since the intent was written, and another gone on
        batch = self._provider.create(task.file_id, task.endpoint, task.metadata(), expires_after=task.expires_after)
        failpoints.hit("start.after-create")
        return batch

    def reconcile(self, evidence: Evidence) -> Reconciliation:
        """Found, Absent or Unsure, from the input file and the list walks alone; decides, never calls."""
        ours = _ours(evidence)
        if len(ours) == 1:
            return Found(next(iter(ours.values())))
        if len(ours) > 1:
            return Unsure(f"{len(ours)} batches could be this one: {', '.join(sorted(ours))}", hopeless=True)
        if evidence.file is None:
            return Unsure(
                f"the file {evidence.file_id} of the batch in doubt is not visible: another key, project or address",
                hopeless=True,
            )
        if evidence.walks and evidence.walks[-1].stuck:
            return Unsure("the provider's list repeats its first page and shows nothing older", hopeless=True)
        complete = [walk for walk in evidence.walks if walk.complete]
        if _apart(complete, evidence.settle):
            return Absent()
        return Unsure("the provider's list does not show the batch; it may still be settling")


def _ours(evidence: Evidence) -> dict[str, Batch]:
    """The batches that may be the one this intent made, by id."""
    shown = {batch.id: batch for walk in evidence.walks for batch in walk.batches}
    by_intent = {key: batch for key, batch in shown.items() if (batch.metadata or {}).get(INTENT) == evidence.intent}
    if by_intent or not any(walk.complete for walk in evidence.walks):
        return by_intent
    # A batch on our file without any intent: its metadata was dropped. The file alone is never enough: a shard that
    # was sent again has several batches on one file, and those we know already are not this one.
    return {
        key: batch
        for key, batch in shown.items()
        if batch.input_file_id == evidence.file_id
        and key not in evidence.known
        and INTENT not in (batch.metadata or {})
    }


def _apart(walks: list[Walk], settle: float) -> bool:
    """Whether the first and the last complete walk lie far enough apart for a new batch to have appeared."""
    return len(walks) > 1 and walks[-1].began - walks[0].ended >= settle
