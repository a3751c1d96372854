"""Walking the provider's list of batches, newest first, without believing that it is in order, complete or honest."""

from collections.abc import Collection
from itertools import pairwise
from typing import Final, NamedTuple

from batchflow import clock
from batchflow.providers.base import Batch, BatchProvider, Page

DISORDER: Final = 60.0  # seconds by which neighbours in an honest list may stand the wrong way round


class Walk(NamedTuple):
    """What one walk saw. complete: it went down to its horizon or to the end; began and ended are monotonic seconds.

    stuck: the server shows a page again instead of the next one, so that no walk can get further.
    """

    batches: tuple[Batch, ...]
    complete: bool
    began: float
    ended: float
    stuck: bool = False


def walk(provider: BatchProvider, *, horizon: float | None, wanted: Collection[str] = ()) -> Walk:
    """List until the horizon (the server's unix seconds; None = the end) is passed, or every wanted id was seen.

    A walk on which ids came twice proves no absence: what moved may have been passed over. Raises ProviderDoubt for a
    list that cannot be read.
    """
    began = clock.monotonic()
    seen: dict[str, Batch] = {}
    after: str | None = None
    shifted = False
    while True:
        page = provider.page(after)
        horizon = horizon if seen else _credible(page, horizon)
        fresh = {batch.id: batch for batch in page.batches if batch.id not in seen}
        seen |= fresh
        shifted |= len(fresh) < len(page.batches)
        end = _is_last(page) or _passed(page, horizon)
        found = bool(wanted) and all(batch_id in seen for batch_id in wanted)
        if end or found or not fresh:
            stuck = not end and bool(page.batches)
            return Walk(tuple(seen.values()), end and not shifted, began, clock.monotonic(), stuck=stuck and not found)
        after = page.batches[-1].id


def _is_last(page: Page) -> bool:
    return page.has_more is False or (not page.batches and page.has_more is None)


def _credible(page: Page, horizon: float | None) -> float | None:
    """No horizon where it lies above the newest batch: the server's clocks for files and for batches may differ."""
    times = [batch.created_at for batch in page.batches]
    known = [time for time in times if time is not None]
    return None if horizon is not None and known and max(known) < horizon else horizon


def _passed(page: Page, horizon: float | None) -> bool:
    """Whether everything below this page is older than the horizon; only a list that runs downwards can tell."""
    if horizon is None:
        return False
    times = [batch.created_at for batch in page.batches]
    known = [time for time in times if time is not None]
    if not known:
        return False
    downwards = all(later <= earlier + DISORDER for earlier, later in pairwise(known))
    return len(known) == len(times) and downwards and known[0] > known[-1] and known[-1] < horizon
