"""Walking the provider's list of batches, newest first, without believing that it is in order, complete or honest."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from batchflow import clock
from batchflow.providers.base import Batch, BatchProvider, Page

DISORDER: Final = 60.0  # seconds by which neighbours in an honest list may stand the wrong way round


@dataclass(frozen=True, slots=True)
class Walk:
    """What one walk saw. complete: it went down to its horizon or to the end; began and ended are monotonic seconds.

    stuck: the server shows the same page again instead of the next one, so that no walk can get further.
    """

    batches: tuple[Batch, ...]
    complete: bool
    began: float
    ended: float
    stuck: bool = False


def walk(provider: BatchProvider, *, horizon: float | None, wanted: Collection[str] = ()) -> Walk:
    """List until the horizon (the server's unix seconds; None = the end) is passed, or every wanted id was seen.

    A repeated id ends the walk: what lies below stays unknown. Raises ProviderDoubt for a list that cannot be read.
    """
    began = clock.monotonic()
    seen: dict[str, Batch] = {}
    after: str | None = None
    while True:
        page = provider.page(after)
        fresh = [batch for batch in page.batches if batch.id not in seen]
        seen |= {batch.id: batch for batch in fresh}
        complete = _is_last(page) or _passed(page, horizon)
        found = bool(wanted) and all(batch_id in seen for batch_id in wanted)
        stuck = not complete and len(fresh) < len(page.batches)
        if complete or found or stuck:
            return Walk(tuple(seen.values()), complete, began, clock.monotonic(), stuck=stuck)
        after = page.batches[-1].id


def _is_last(page: Page) -> bool:
    return not page.batches or page.has_more is False


def _passed(page: Page, horizon: float | None) -> bool:
    """Whether everything below this page is older than the horizon; only a list that runs downwards can tell."""
    if horizon is None:
        return False
    times = [batch.created_at for batch in page.batches]
    known = [time for time in times if time is not None]
    downwards = all(later <= earlier + DISORDER for earlier, later in pairwise(known))
    return len(known) == len(times) and downwards and known[0] > known[-1] and known[-1] < horizon
