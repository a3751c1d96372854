"""Look at all open batches of a run at once: by the list while that is cheaper, one by one where it shows less.

Failpoint: `poll.before-event` (what was seen is not recorded: the next look sees it again).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from batchflow.errors import ProviderDoubt, ProviderRefused
from batchflow.providers.base import Batch, BatchProvider
from batchflow.steps.base import StepName
from batchflow.steps.listing import walk

FEW: Final = 3  # up to so many open batches are asked for one by one
SLACK: Final = 3600.0


@dataclass(frozen=True, slots=True)
class PollTask:
    """The open batches: id -> the server's created_at, None where it was never told."""

    open: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one look showed; gone are ids that the provider does not know."""

    batches: Mapping[str, Batch] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()


class Poll:
    name = StepName.POLL

    def __init__(self, provider: BatchProvider) -> None:
        self._provider = provider

    def perform(self, task: PollTask) -> Sighting:
        seen = {} if len(task.open) <= FEW else self._listed(task)
        gone = set()
        for batch_id in task.open:
            if batch_id not in seen:
                batch = self._provider.find_batch(batch_id)
                if batch is None:
                    gone.add(batch_id)
                else:
                    seen[batch_id] = batch
        return Sighting(seen, frozenset(gone))

    def _listed(self, task: PollTask) -> dict[str, Batch]:
        """The open batches that the list shows; a list that is not to be had shows none, and each is asked for."""
        times = [created for created in task.open.values() if created is not None]
        horizon = min(times) - SLACK if len(times) == len(task.open) else None
        try:
            found = walk(self._provider, horizon=horizon, wanted=task.open.keys())
        except ProviderDoubt:
            return {}
        except ProviderRefused as refusal:
            if refusal.needs_human:
                raise
            return {}
        return {batch.id: batch for batch in found.batches if batch.id in task.open}
