"""Bring the answers of an ended batch onto our disk, whatever its status, each file whole or absent, and count them.

Crash windows: `collect.before-publish`, `collect.between-files`, `collect.after-publish` (files without an event: the
next run takes the whole ones as they are), `collect.after-event`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, Final

from batchflow import failpoints, files
from batchflow.errors import ProviderDoubt, ProviderRefused, SetupError
from batchflow.plan.folder import RESULT_KINDS, ResultKind, RunFolder
from batchflow.plan.shards import shard_ids, shard_name
from batchflow.providers.base import BatchProvider
from batchflow.results.account import Reading
from batchflow.steps.base import StepName

STRICT_TRIES: Final = 1  # then a file that is shorter than the provider said is believed
WHOLE_TRIES: Final = 5  # then a file whose last line is broken is believed
GONE_TRIES: Final = 3  # then a file that the provider does not find is gone
NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class CollectTask:
    """An ended batch. tries counts the attempts before this one; expected_lines is what the provider says it wrote."""

    shard: str
    output_file_id: str | None
    error_file_id: str | None
    expected_lines: int | None
    tries: int = 0

    def file_id(self, kind: ResultKind) -> str | None:
        return self.output_file_id if kind == "output" else self.error_file_id


@dataclass(frozen=True, slots=True)
class Collected:
    """A result file on our disk; lost: the provider no longer has it."""

    name: str
    bytes: int = 0
    lines: int = 0
    sha256: str = ""
    lost: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Collect:
    name = StepName.COLLECT

    def __init__(self, provider: BatchProvider, folder: RunFolder) -> None:
        self._provider, self._folder = provider, folder

    def perform(self, task: CollectTask) -> tuple[Collected, ...]:
        collected: list[Collected] = []
        for kind in RESULT_KINDS:
            file_id = task.file_id(kind)
            if file_id is not None:
                collected.append(self._file(task, kind, file_id))
                failpoints.hit("collect.between-files")
        failpoints.hit("collect.after-publish")
        return tuple(collected)

    def _file(self, task: CollectTask, kind: ResultKind, file_id: str) -> Collected:
        target = self._folder.response(task.shard, kind)
        if target.exists():  # a crash came between its publication and the event
            return _describe(target)
        try:
            with files.atomic_writer(target) as handle:
                for piece in self._provider.download(file_id):
                    handle.write(piece)
                self._check(task, kind, file_id, handle)
                failpoints.hit("collect.before-publish")
        except ProviderRefused as refusal:
            if refusal.status != NOT_FOUND:
                raise
            if task.tries < GONE_TRIES:
                raise ProviderDoubt(f"the provider does not show the {kind} file {file_id} yet") from refusal
            return Collected(target.name, lost=True)
        return _describe(target)

    def _check(self, task: CollectTask, kind: ResultKind, file_id: str, handle: BinaryIO) -> None:
        """Doubt a download that may have been cut without a word; the more often it comes the same, the less."""
        received, (lines, last) = handle.tell(), _survey(handle)
        if task.tries < WHOLE_TRIES and last and not _parses(last):
            raise ProviderDoubt(f"the {kind} file {file_id} ends in the middle of a line: fetching it again")
        if task.tries >= STRICT_TRIES:
            return
        remote = self._provider.find_file(file_id)
        if remote is not None and remote.bytes is not None and remote.bytes != received:
            raise ProviderDoubt(f"{received} of {remote.bytes} bytes of the {kind} file came: fetching it again")
        if kind == "output" and task.expected_lines is not None and lines < task.expected_lines:
            raise ProviderDoubt(f"{lines} of {task.expected_lines} answers are in the output file: fetching it again")


def _survey(handle: BinaryIO) -> tuple[int, bytes]:
    """How many records a file holds, and its last one."""
    handle.seek(0)
    lines, last = 0, b""
    for line in handle:
        if line.strip():
            lines, last = lines + 1, line
    handle.seek(0, SEEK_END)
    return lines, last


def _describe(target: Path) -> Collected:
    with target.open("rb") as handle:
        lines, _ = _survey(handle)
    return Collected(target.name, target.stat().st_size, lines, files.sha256_of(target))


def _parses(line: bytes) -> bool:
    try:
        json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def check_evidence(folder: RunFolder, collected: Iterable[Mapping[str, Any]]) -> None:
    """Raises SetupError if a collected file is not there, or is not what was collected (law 4)."""
    for file in collected:
        path = folder.responses / file["name"]
        if not file["lost"] and (not path.is_file() or files.sha256_of(path) != file["sha256"]):
            raise SetupError(
                f"{path} is {'not what was collected' if path.is_file() else 'gone'}: nothing was loaded from it",
                hint="response files are evidence and never edited: put it back from a backup; tables are not touched",
            )


def read_shard(folder: RunFolder, round_: int, shard: int, names: Iterable[str]) -> Reading:
    """A pass over the answers of a collected shard, from the files named in its event."""
    paths = [folder.responses / name for name in names]
    return Reading(shard_ids(folder.shard(shard_name(round_, shard))), [path for path in paths if path.exists()])
