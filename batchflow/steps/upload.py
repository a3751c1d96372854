"""Send a shard's request file. Free to repeat: a stray file costs nothing and expires by itself.

Crash windows: `upload.before-call`, `upload.after-call` (the file is there, we do not know it: the next run sends it
again), `upload.after-event`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchflow import failpoints
from batchflow.errors import ProviderDoubt, SetupError
from batchflow.providers.base import BatchProvider, RemoteFile
from batchflow.steps.base import StepName
from batchflow.steps.evidence import is_built

SIZE_TRIES: Final = 2  # then a server that counts bytes in its own way is believed


@dataclass(frozen=True, slots=True)
class UploadTask:
    """A request file, its name at the provider, and what it was when it was built. tries counts earlier attempts.
    expires_after: seconds for which the provider is to keep it, where that was asked for.
    """

    path: Path
    remote_name: str
    bytes: int
    sha256: str
    tries: int = 0
    expires_after: int | None = None


class Upload:
    name = StepName.UPLOAD

    def __init__(self, provider: BatchProvider) -> None:
        self._provider = provider

    def perform(self, task: UploadTask) -> RemoteFile:
        _check_unchanged(task)
        failpoints.hit("upload.before-call")
        remote = self._provider.upload(task.path, task.remote_name, expires_after=task.expires_after)
        failpoints.hit("upload.after-call")
        if remote.bytes and remote.bytes != task.bytes and task.tries < SIZE_TRIES:
            raise ProviderDoubt(
                f"the provider has {remote.bytes} of the {task.bytes} bytes of {task.remote_name}: sending it again"
            )
        return remote


def _check_unchanged(task: UploadTask) -> None:
    if not is_built(task.path, task.sha256):
        raise SetupError(
            f"the request file {task.path} is not the one that was built",
            hint="request files are never edited: put it back, or plan anew with `batchflow run SPEC --fresh`",
        )
