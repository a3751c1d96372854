"""Bring one file of the provider's onto our disk, whole or absent. Free to repeat."""

from dataclasses import dataclass
from pathlib import Path

from batchflow import files
from batchflow.errors import ProviderDoubt
from batchflow.providers.base import BatchProvider
from batchflow.results.lines import is_json, survey


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on our disk."""

    path: Path
    bytes: int
    lines: int


def fetch(provider: BatchProvider, file_id: str, target: Path, *, expected: int | None = None) -> Fetched:
    """Download a result file. expected: lines that the provider says it has, None where it does not say.

    Raises ProviderDoubt where the transfer was cut, and where less came than there is.
    """
    with files.atomic_writer(target) as handle:
        for piece in provider.download(file_id):
            handle.write(piece)
        received = handle.tell()
        lines, last = survey(handle)
        if last and not is_json(last):
            raise ProviderDoubt(f"the file {file_id} ends in the middle of a line")
        if expected is not None and lines < expected:
            remote = provider.find_file(file_id)
            if remote is None or remote.bytes != received:
                raise ProviderDoubt(f"the file {file_id} came with {lines} of {expected} lines")
    return Fetched(target, received, lines)
