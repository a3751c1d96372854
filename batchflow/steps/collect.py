"""Bring the answers of an ended batch onto our disk, whatever its status, each file whole or absent, and count them.

Crash windows: `collect.before-publish`, `collect.between-files`, `collect.after-publish` (files without an event: the
next run takes the whole ones as they are), `collect.after-event`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from batchflow import failpoints, files
from batchflow.errors import ProviderDoubt, ProviderRefused, ProviderUntrusted, SetupError
from batchflow.plan.folder import RESULT_KINDS, ResultKind, RunFolder
from batchflow.plan.model import read_plan
from batchflow.plan.shards import row_of, shard_ids, shard_name
from batchflow.providers.base import BatchProvider
from batchflow.results.account import Earlier, Reading
from batchflow.results.judge import judge_of
from batchflow.results.lines import is_json, of_rows, parse, survey
from batchflow.results.outcome import Answer
from batchflow.results.taken import TakenJudge
from batchflow.sources.maps import earlier_outcomes, served
from batchflow.steps.base import StepName
from batchflow.steps.expiry import expiry

SAME_TRIES: Final = 5  # then a file whose size nobody knows is taken to be all there is
NOT_FOUND: Final = 404


class CollectTask(NamedTuple):
    """An ended batch. expected_lines: answers that the provider says it wrote, None where it does not say. tries counts
    the attempts before this one; patient: what is not there may still come. expires_after: seconds for which the
    provider was told to keep the files.
    """

    shard: str
    batch_id: str
    output_file_id: str | None
    error_file_id: str | None
    expected_lines: int | None
    tries: int = 0
    patient: bool = True
    expires_after: int | None = None

    def file_id(self, kind: ResultKind) -> str | None:
        return self.output_file_id if kind == "output" else self.error_file_id


class Collected(NamedTuple):
    """A result file on our disk; lost: the provider no longer has it. expiry: what is known of how long it is kept
    there, where that was asked for.
    """

    name: str
    bytes: int = 0
    lines: int = 0
    sha256: str = ""
    lost: bool = False
    expiry: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in self._asdict().items() if name != "expiry" or value is not None}


class Collect:
    name = StepName.COLLECT

    def __init__(self, provider: BatchProvider, folder: RunFolder) -> None:
        self._provider, self._folder = provider, folder

    def perform(self, task: CollectTask) -> tuple[Collected, ...]:
        collected: list[Collected] = []
        for kind in RESULT_KINDS:
            file_id = task.file_id(kind)
            if file_id is not None:
                collected.append(self._dated(task, file_id, self._file(task, kind, file_id)))
                failpoints.hit("collect.between-files")
        failpoints.hit("collect.after-publish")
        return tuple(collected)

    def _dated(self, task: CollectTask, file_id: str, file: Collected) -> Collected:
        """With what the provider says of how long it keeps the file; that it says nothing holds up no answers."""
        if task.expires_after is None or file.lost:
            return file
        told = None
        with suppress(ProviderRefused, ProviderDoubt):
            told = self._provider.find_file(file_id)
        return file._replace(expiry=expiry(task.expires_after, told))

    def _file(self, task: CollectTask, kind: ResultKind, file_id: str) -> Collected:
        target = self._folder.response(task.shard, kind)
        if target.exists():  # a crash came between its publication and the event
            return _describe(target)
        try:
            with files.atomic_writer(target) as handle:
                for piece in self._provider.download(file_id):
                    handle.write(piece)
                doubt = self._doubt(task, kind, file_id, handle)
                if doubt:
                    raise ProviderDoubt(f"the {kind} file {file_id} {doubt}: fetching it again")
                failpoints.hit("collect.before-publish")
        except ProviderRefused as refusal:
            if refusal.status != NOT_FOUND:
                raise
            return self._not_found(task, kind, file_id)
        return _describe(target)

    def _doubt(self, task: CollectTask, kind: ResultKind, file_id: str, handle: BinaryIO) -> str:
        """Why a download is not what the provider has; empty where nothing speaks against it.

        What is accepted here decides what is asked again: an answer that is not in the file is bought once more. So a
        cut or foreign file is never accepted, however often it comes.
        """
        received, (lines, last) = handle.tell(), survey(handle)
        if last and not is_json(last):
            return "ends in the middle of a line"
        if kind == "error":
            return ""
        if task.expected_lines and not lines:
            return f"is empty, though {task.expected_lines} requests were answered"
        if lines and not self._any_of_ours(task, handle):
            return "holds no answer to this batch"
        return self._short(task, file_id, received, lines)

    def _short(self, task: CollectTask, file_id: str, received: int, lines: int) -> str:
        """Whether something is left out that the provider says is there."""
        expected = task.expected_lines
        if expected is not None and lines >= expected:
            return ""
        size = self._size(file_id)
        if size is not None and size != received:
            return f"came with {received} of {size} bytes"
        unknown = size is None and expected is not None and task.tries < SAME_TRIES
        return f"has {lines} of {expected} answers" if unknown else ""

    def _size(self, file_id: str) -> int | None:
        """Bytes of a file by the provider's own word; None where it gives none."""
        remote = self._provider.find_file(file_id)
        return None if remote is None else remote.bytes or None

    def _any_of_ours(self, task: CollectTask, handle: BinaryIO) -> bool:
        ours = set(shard_ids(self._folder.shard(task.shard)))
        handle.seek(0)
        found = any((answer := parse(line)) is not None and answer.custom_id in ours for line in handle)
        handle.seek(0, SEEK_END)
        return found

    def _not_found(self, task: CollectTask, kind: ResultKind, file_id: str) -> Collected:
        """A result file answers 404: late, lost, or looked for in the wrong place. Only a lost one may be given up."""
        if self._provider.find_batch(task.batch_id) is None:
            if task.tries == 0:
                raise ProviderDoubt(f"the provider shows neither batch {task.batch_id} nor its {kind} file")
            raise ProviderUntrusted(
                f"batch {task.batch_id} and its {kind} file are not visible: another key, project or address",
                hint="nothing was asked again; use the key, project and address that the run was started with",
            )
        if task.patient or self._provider.find_file(file_id) is not None:
            raise ProviderDoubt(f"the provider does not show the {kind} file {file_id} yet")
        return Collected(self._folder.response(task.shard, kind).name, lost=True)


def _describe(target: Path) -> Collected:
    with target.open("rb") as handle:
        lines, _ = survey(handle)
    return Collected(target.name, target.stat().st_size, lines, files.sha256_of(target))


def check_evidence(folder: RunFolder, collected: Iterable[Mapping[str, Any]]) -> None:
    """Raises SetupError if a collected file is not there, or is not what was collected (law 4)."""
    for file in collected:
        path = folder.responses / file["name"]
        if not file["lost"] and (not path.is_file() or files.sha256_of(path) != file["sha256"]):
            raise SetupError(
                f"{path} is {'not what was collected' if path.is_file() else 'gone'}: nothing was taken from it",
                hint="response files are evidence and never edited: put it back from a backup; nothing was changed",
            )


def read_shard(
    folder: RunFolder,
    round_: int,
    shard: int,
    names: Iterable[str],
    *,
    raw: bool = False,
    chosen: Callable[[int], bool] | None = None,
    numbers: Mapping[Path, Collection[int]] | None = None,
    expected: Iterable[str] | None = None,
) -> Reading:
    """A pass over the answers of a collected shard, from the files named in its event. raw: each carries its line.
    chosen: only those to these rows. numbers: only these lines of each file, which are for the requests `expected`.
    """
    paths = [folder.responses / name for name in names]
    if expected is None:
        expected = shard_ids(folder.shard(shard_name(round_, shard)))
    plan = read_plan(folder.manifest)
    judge: Callable[[bytes], Answer | None] = judge_of(plan)
    if round_ == 0:
        judge = TakenJudge(judge)
    looked_at = None
    if chosen is not None:
        expected, looked_at = (name for name in expected if chosen(row_of(name))), of_rows(chosen)
    serves = served(folder.map(round_), shard) if plan.duplicates == "share" else None
    earlier = None
    if round_ > 1:
        earlier = {name: Earlier(*each) for name, each in earlier_outcomes(folder.map(round_), shard).items()}
    there = [path for path in paths if path.exists()]
    return Reading(
        expected, there, judge, serves=serves, earlier=earlier, raw=raw, looked_at=looked_at, numbers=numbers
    )
