"""Ask the provider to end a batch. Free to repeat: what has ended, or is about to, is left alone.

What is answered until it has ended is billed; it is collected like the answers of any other batch. Crash windows:
`cancel.after-event` (nothing was asked yet) and `cancel.after-call` (the batch is ending, and nothing here says so):
the journal says that the run is cancelled, so the next process asks for what is still open.
"""

from batchflow import failpoints
from batchflow.errors import ProviderDoubt
from batchflow.providers.base import Batch, BatchProvider


def end_batch(provider: BatchProvider, batch_id: str) -> Batch | None:
    """The batch as it is after it was asked to end; None where the provider does not know it.

    Raises ProviderRefused, or ProviderDoubt where it still goes on.
    """
    batch = provider.find_batch(batch_id)  # first: a call for a batch that has ended is an error
    if batch is None or is_ending(batch):
        return batch
    try:
        asked = provider.cancel(batch_id)
    except ProviderDoubt:  # a lost reply, or a 409: it has ended meanwhile
        batch = provider.find_batch(batch_id)
        if batch is None or not is_ending(batch):
            raise
        return batch
    failpoints.hit("cancel.after-call")
    return asked


def is_ending(batch: Batch) -> bool:
    """Whether a batch has ended, or will without being asked."""
    return batch.ended or batch.status == "cancelling"
