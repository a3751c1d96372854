"""A file that is started by itself, without a study: its record in `.batchflow/`, and the one call that costs money.

The record is a journal of one shard. An intent is in it before the call and a receipt after; an open intent is
reconciled before anything is created, as in a run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Final, Self, TypeVar, assert_never

from batchflow import clock, failpoints, files
from batchflow.engine.lanes import batch_event, event, for_a_human
from batchflow.errors import JournalDamaged, ProviderDoubt, ProviderRefused, ProviderUntrusted, RunBusy
from batchflow.journal.events import Event
from batchflow.journal.journal import Journal, replay
from batchflow.journal.state import BatchState, RunState, ShardState, apply, fold
from batchflow.plan.folder import RunFolder
from batchflow.providers.base import Batch, BatchProvider, RemoteFile
from batchflow.steps.base import Absent, Evidence, Found, StepName, Unsure
from batchflow.steps.listing import Walk, walk
from batchflow.steps.start import SLACK, Start, StartTask

Result = TypeVar("Result")
FOLDER: Final = ".batchflow"
LOOKS: Final = 4  # walks of the list for one doubt
TRIES: Final = 5  # of a call that is free to repeat
WAIT: Final = 2.0  # seconds before such a call is repeated, at most
CREATES: Final = 3  # creates of one command, each after a certain absence of the last


@dataclass(frozen=True, slots=True)
class Upload:
    """What is known of the file: of one that somebody else uploaded, only its size."""

    file: RemoteFile
    requests: int = 0
    sha256: str = ""


def record_folder(root: Path, host: str, file_id: str) -> RunFolder:
    return RunFolder(root / FOLDER / host / file_id)


class Record:
    """The journal of one uploaded file, open for writing under its lock."""

    def __init__(self, folder: RunFolder, lock: files.FileLock, journal: Journal, state: RunState) -> None:
        self.folder, self._lock, self._journal, self.state = folder, lock, journal, state

    @classmethod
    def open(cls, root: Path, host: str, upload: Upload) -> Self:
        """The record of a file, made if there is none. Raises RunBusy if another process has it open."""
        folder = record_folder(root, host, upload.file.id)
        files.make_folder(folder.path, private=True)
        ignore = root / FOLDER / ".gitignore"
        if not ignore.exists():
            files.atomic_write(ignore, b"*\n")
        lock = files.FileLock(folder.lock)
        if not lock.acquire():
            raise RunBusy(f"another command works on {upload.file.id}", hint="let it finish, then look again")
        try:
            if not folder.journal.exists():
                _create(folder, upload)
            journal, events = Journal.take_over(folder.journal)
            return cls(folder, lock, journal, _folded(folder, events))
        except BaseException:
            lock.release()
            raise

    @property
    def shard(self) -> ShardState:
        return self.state.shard(1, 1)

    def record(self, events: list[Event]) -> None:
        for recorded in self._journal.append(events):
            apply(self.state, recorded)

    def check_writer(self) -> None:
        self._journal.check_writer()

    def close(self) -> None:
        self._journal.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _create(folder: RunFolder, upload: Upload) -> None:
    """A journal that shows under its name only with the file in it."""
    file = upload.file
    temporary = files.temporary_for(folder.journal)
    journal = Journal.create(temporary, folder.run)
    facts = {"shard": 1, "requests": upload.requests, "bytes": file.bytes or 0, "sha256": upload.sha256}
    uploaded = {"file_id": file.id, "bytes": file.bytes, "created_at": file.created_at}
    built = Event("built", {"requests": upload.requests, "shards": [facts]}, step=StepName.BUILD, round=1)
    journal.append([built, Event("uploaded", uploaded, step=StepName.UPLOAD, round=1, shard=1)])
    journal.close()
    files.publish(temporary, folder.journal)


def _folded(folder: RunFolder, events: tuple[Event, ...]) -> RunState:
    try:
        state = fold(events)
        state.shard(1, 1)
    except (ValueError, KeyError) as error:
        raise JournalDamaged(
            f"the journal {folder.journal} contradicts itself", hint="put the file back from a backup"
        ) from error
    return state


def read_record(root: Path, host: str, file_id: str) -> ShardState | None:
    """What is recorded of a file, read without disturbing anybody; None where nothing is."""
    folder = record_folder(root, host, file_id)
    return _folded(folder, replay(folder.journal).events).shard(1, 1) if folder.journal.exists() else None


def batches_of(
    provider: BatchProvider,
    file: RemoteFile,
    known: list[BatchState],
    say: Callable[[str], None],
    first: Walk | None = None,
) -> list[Batch]:
    """Every batch on a file: those that the list shows, and those that are on record, though it may not show them yet.

    first: a look that was taken already. Raises ProviderUntrusted if the list never shows everything.
    """
    shown: dict[str, Batch] = {}
    for _ in range(LOOKS):
        found = first or patiently(partial(look_back, provider, file), say)
        first = None
        shown |= {batch.id: batch for batch in found.batches if batch.input_file_id == file.id}
        if found.complete:
            break
    else:
        raise ProviderUntrusted(
            "the provider's list of batches never shows everything: whether this file has a batch cannot be told",
            hint="nothing was changed; try again later, or see the provider's console",
        )
    for batch_id in {state.batch_id for state in known} - shown.keys():
        batch = patiently(partial(provider.find_batch, batch_id), say)
        if batch is not None:
            shown[batch.id] = batch
    return list(shown.values())


def look_back(provider: BatchProvider, file: RemoteFile, back: float = SLACK) -> Walk:
    """A walk down to so many seconds before the file's beginning, whose every batch tells its file."""
    found = walk(provider, horizon=None if file.created_at is None else file.created_at - back)
    told = (b if b.input_file_id or b.metadata else provider.find_batch(b.id) or b for b in found.batches)
    return found._replace(batches=tuple(told))


def patiently(call: Callable[[], Result], say: Callable[[str], None]) -> Result:
    """A call that is free to repeat, repeated while no readable answer comes."""
    for attempt in range(1, TRIES):
        try:
            return call()
        except ProviderDoubt as doubt:
            say(f"{doubt.message}; trying again")
            clock.sleep(min(WAIT, 0.1 * 2**attempt))
    return call()


@dataclass(frozen=True, slots=True)
class Starting:
    """One start: settle is in seconds, as in a spec's provider."""

    provider: BatchProvider
    record: Record
    settle: float
    description: str
    say: Callable[[str], None]

    def settle_doubt(self) -> Batch | None:
        """The batch behind an open intent; None where there is none, which is then certain and on record.

        Raises ProviderUntrusted where neither can be told; the intent stays open.
        """
        shard, intent = self.record.shard, self.record.shard.open_intent
        if intent is None:
            return None
        step = Start(self.provider, self.record.check_writer)
        walks: list[Walk] = []
        reason = ""
        for look in range(LOOKS):
            clock.sleep(self.settle if look else 0)
            file = patiently(partial(self.provider.find_file, intent.file_id), self.say)
            told = file or RemoteFile(intent.file_id, None, shard.file_created_at)
            walks.append(patiently(partial(look_back, self.provider, told), self.say))
            known = self.record.state.batch_ids()
            match step.reconcile(Evidence(intent.intent, intent.file_id, file, tuple(walks), known, self.settle)):
                case Found(batch):
                    failpoints.hit("recovery.before-adopt")
                    self._receipt(intent.intent, batch, adopted=True)
                    self.say(f"found its batch {batch.id} again; nothing was bought twice")
                    return batch
                case Absent():
                    failpoints.hit("recovery.before-absent")
                    self.record.record([event(shard, StepName.START, "absent", intent=intent.intent)])
                    return None
                case Unsure(reason, hopeless):
                    self.say(f"{reason}; looking again" if look + 1 < LOOKS else reason)
                    if hopeless and look:
                        break
                case other:
                    assert_never(other)
        raise ProviderUntrusted(
            f"it cannot be told whether the batch was created: {reason}",
            hint="nothing more was created. Give the same command again later, with the same key, project and address; "
            "the provider's console shows which batches exist",
        )

    def create(self, endpoint: str) -> Batch:
        """Create the batch, at most once. A reply that was lost is looked for; what is certainly absent is created."""
        for _ in range(CREATES):
            try:
                return self._create(endpoint)
            except ProviderDoubt as doubt:
                self.say(f"{doubt.message}; looking whether its batch was made")
            found = self.settle_doubt()
            if found is not None:
                return found
        raise ProviderDoubt("the provider gives no readable answer; no batch was created")

    def _create(self, endpoint: str) -> Batch:
        shard = self.record.shard
        task = StartTask(
            file_id=shard.file_id,
            endpoint=endpoint,
            intent=token_hex(16),
            run="start-batch",
            shard="",
            sha256=shard.sha256,
            description=self.description,
        )
        failpoints.hit("start.before-intent")
        self.record.record([event(shard, StepName.START, "intent", intent=task.intent, file_id=task.file_id)])
        failpoints.hit("start.after-intent")
        try:
            batch = Start(self.provider, self.record.check_writer).perform(task)
        except ProviderRefused as refusal:
            closing = {"intent": task.intent, "status": refusal.status, "code": refusal.provider_code}
            self.record.record([event(shard, StepName.START, "refused", **closing, message=refusal.message)])
            raise (for_a_human(refusal) if refusal.needs_human else refusal) from refusal
        self._receipt(task.intent, batch, adopted=False)
        failpoints.hit("start.after-receipt")
        return batch

    def _receipt(self, intent: str, batch: Batch, *, adopted: bool) -> None:
        shard = self.record.shard
        receipt = event(shard, StepName.START, "receipt", intent=intent, batch_id=batch.id, adopted=adopted)
        self.record.record([receipt, batch_event(shard, batch)])
