"""Delete at the provider what a run has left there: request files, and the output and error files of its own ended
batches. Free to repeat: what is gone already counts as deleted.

Nothing is deleted unless all of it is safe here (`at_rest`), is on this disk as it was sent and fetched (`is_here`),
and the provider shows no open batch that reads it (`look`).

Crash windows: `delete.before-call` (the file is there), `delete.after-call` (it is gone, and nothing here says so: the
next run deletes it again, and is told that it is gone), `delete.after-event`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from batchflow import failpoints
from batchflow.errors import ProviderDoubt, SetupError
from batchflow.journal.state import Phase, RunState, ShardState
from batchflow.plan.folder import RESULT_KINDS, RunFolder
from batchflow.providers.base import Batch, BatchProvider
from batchflow.steps.collect import check_evidence
from batchflow.steps.evidence import is_built
from batchflow.steps.listing import walk
from batchflow.steps.start import SLACK
from batchflow.steps.summary import State, state_of

UNFINISHED: Final = "the run is not finished"
NEVER_FETCHED: Final = "its answers were never fetched: the provider did not have it"
NOT_HERE: Final = "what is in this run's folder is not what was sent, or fetched"


class RemoteCopy(NamedTuple):
    """A file of this run at the provider, as the journal knows it."""

    file_id: str
    what: Literal["request", "output", "error"]
    shard: ShardState


def remaining(state: RunState) -> Iterator[tuple[RemoteCopy, str]]:
    """Every file of the run that is not known to be gone, and why it may not be deleted now; "" where it may."""
    busy = "" if at_rest(state) else UNFINISHED
    for shard in state.shards():
        if shard.file_id and shard.file_id not in state.deleted:
            yield RemoteCopy(shard.file_id, "request", shard), busy
        facts = {} if shard.batch is None else shard.batch.facts
        fetched = {file["name"] for file in (shard.collected or {}).get("files", ()) if not file["lost"]}
        for kind in RESULT_KINDS:
            file_id = facts.get(f"{kind}_file_id")
            if file_id and file_id not in state.deleted:
                here = f"{shard.name}.{kind}.jsonl" in fetched
                yield RemoteCopy(file_id, kind, shard), busy or ("" if here else NEVER_FETCHED)


def deletable(state: RunState) -> list[RemoteCopy]:
    """The files that may be deleted now, as far as the journal can tell."""
    return [copy for copy, why in remaining(state) if not why]


def at_rest(state: RunState) -> bool:
    """Whether the provider has nothing of the run that it works on, or is about to: every batch has ended and is on
    disk. What a cancelled run has not sent is uploaded anew, if it is ever sent.
    """
    if state_of(state) is State.IN_PROGRESS or any(True for _ in state.in_flight()):
        return False
    return state.cancelled or all(shard.phase is Phase.COLLECTED for shard in state.shards())


def is_here(folder: RunFolder, shard: ShardState) -> bool:
    """Whether the request file of a shard, and its answers, are on this disk to the byte (law 4)."""
    try:
        check_evidence(folder, (shard.collected or {}).get("files", ()))
    except SetupError:
        return False
    return is_built(folder.shard(shard.name), shard.sha256)


@dataclass(frozen=True, slots=True)
class Use:
    """What the provider shows of who reads files: readers by file id. blind: why that cannot be told; "" if it can."""

    readers: Mapping[str, str] = field(default_factory=dict)
    blind: str = ""

    def why_not(self, file_id: str) -> str:
        """Why a file may not be deleted; "" where it may."""
        reader = self.readers.get(file_id)
        return self.blind or (f"{reader} reads it, and has not ended" if reader else "")


def look(provider: BatchProvider, copies: Sequence[RemoteCopy], ours: Sequence[str]) -> Use:
    """Which files open batches read, whoever has started them, by the provider's list. ours: the run's own batches.

    One of them, or of the files, must be visible: another key sees none of ours, and would take them for deleted.
    """
    created = [copy.shard.file_created_at for copy in copies]
    known = [moment for moment in created if moment is not None]
    found = walk(provider, horizon=min(known) - SLACK if known and len(known) == len(created) else None)
    if not found.complete:
        return Use(blind="the provider's list of batches does not show everything")
    if not ({batch.id for batch in found.batches} & set(ours) or _visible(provider, copies, ours)):
        return Use(blind="the provider shows nothing of this run: another key, project or address?")
    readers: dict[str, str] = {}
    for batch in found.batches:
        if not batch.ended:
            told = batch if batch.input_file_id else provider.find_batch(batch.id)
            if told is None or not told.input_file_id:
                return Use(blind=f"it cannot be told which file the open batch {batch.id} reads")
            readers |= _reader(told)
    return Use(readers)


def _visible(provider: BatchProvider, copies: Sequence[RemoteCopy], ours: Sequence[str]) -> bool:
    if ours:
        return provider.find_batch(ours[-1]) is not None
    return any(provider.find_file(copy.file_id) is not None for copy in copies)


def _reader(batch: Batch) -> dict[str, str]:
    return {} if batch.ended else {batch.input_file_id: batch.id}


def delete(provider: BatchProvider, file_id: str) -> bool:
    """Delete a file; False where it was gone already. Raises ProviderRefused, or ProviderDoubt, where it is there."""
    failpoints.hit("delete.before-call")
    try:
        found = provider.delete_file(file_id)
    except ProviderDoubt:
        if provider.find_file(file_id) is not None:
            raise
        found = True
    failpoints.hit("delete.after-call")
    return found
