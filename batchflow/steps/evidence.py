"""Request files are evidence: whether they are still what was built (law 4), to the byte."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from batchflow import files
from batchflow.errors import SetupError
from batchflow.journal.state import Phase, RunState, ShardState
from batchflow.plan.folder import RunFolder

NAMED: Final = 5  # files that an error names


def check_unsent(folder: RunFolder, state: RunState) -> None:
    """Look at every file that is still to be uploaded, before anything is. Raises SetupError that names those which
    were changed or are gone.
    """
    check_built(folder, state, (shard for shard in state.shards() if shard.phase is Phase.UPLOAD and shard.round))


def check_built(folder: RunFolder, state: RunState, shards: Iterable[ShardState]) -> None:
    """The same of these files."""
    changed = [shard for shard in shards if not is_built(folder.shard(shard.name), shard.sha256)]
    if not changed:
        return
    names = ", ".join(f"{shard.name}.jsonl" for shard in changed[:NAMED])
    names += f" and {len(changed) - NAMED:,} more" if len(changed) > NAMED else ""
    them = "request file is" if len(changed) == 1 else "request files are"
    raise SetupError(
        f"{len(changed)} {them} not the one that was built, in {folder.requests}: {names}", hint=_way_out(folder, state)
    )


def is_built(path: Path, sha256: str) -> bool:
    """Whether the file is there, and has this hash."""
    return path.is_file() and files.sha256_of(path) == sha256


def _way_out(folder: RunFolder, state: RunState) -> str:
    back = "request files are what was reviewed and are never edited: put back what was there; or "
    if state.sent:
        return f"{back}ask, and pay for, everything again with `batchflow run SPEC --fresh`"
    return f"{back}let them be built anew: `batchflow forget {folder.path}`, then the same command again"
