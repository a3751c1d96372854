"""Whether the same content was bought before under another file id: by this folder's records and the provider's labels.

A file id tells nothing here: the same file, uploaded twice, has two of them, and would be paid for twice.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from batchflow.engine.single import FOLDER, look_back, patiently, read_record
from batchflow.errors import JournalDamaged
from batchflow.journal.state import ShardState
from batchflow.providers.base import Batch, BatchProvider, RemoteFile
from batchflow.steps.listing import Walk
from batchflow.steps.start import SHA256

KEPT: Final = 30 * 86_400.0  # seconds; older batches have no answers at OpenAI any more


def uploads_of(root: Path, host: str, sha256: str, *, but: str = "") -> list[ShardState]:
    """The other uploads of this content that are on record in this folder, oldest first. A record that cannot be read
    tells nothing.
    """
    folder = root / FOLDER / host
    found: list[ShardState] = []
    for path in sorted(folder.iterdir()) if sha256 and folder.is_dir() else []:
        with suppress(JournalDamaged):
            shard = read_record(root, host, path.name) if path.name != but else None
            if shard is not None and shard.sha256 == sha256:
                found.append(shard)
    return sorted(found, key=lambda shard: shard.file_created_at or 0)


def look_for(provider: BatchProvider, file: RemoteFile, say: Callable[[str], None]) -> Walk:
    """The batches of 30 days before the file and since."""
    return patiently(partial(look_back, provider, file, KEPT), say)


def batches_with(
    provider: BatchProvider,
    file: RemoteFile,
    sha256: str,
    seen: Walk,
    *,
    uploads: list[ShardState],
    say: Callable[[str], None],
) -> list[Batch]:
    """The batches that bought this content under other file ids, or are about to: those of the uploads on record, and
    those of the list that carry the content's label. One that ended without having done anything is none of them.
    """
    if not sha256:
        return []
    shown = {batch.id: batch for batch in seen.batches if (batch.metadata or {}).get(SHA256) == sha256}
    for batch_id in {state.batch_id for shard in uploads for state in shard.batches} - shown.keys():
        batch = patiently(partial(provider.find_batch, batch_id), say)
        if batch is not None:
            shown[batch.id] = batch
    return [batch for batch in shown.values() if batch.input_file_id != file.id and _bought(batch)]


def _bought(batch: Batch) -> bool:
    return not batch.ended or batch.status == "completed" or batch.executed > 0
