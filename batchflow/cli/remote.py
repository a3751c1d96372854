"""What is said of a run's files at the provider: how long they are kept, what was deleted, what is left and why."""

from collections.abc import Iterator, Mapping
from typing import Any

from batchflow.cli import render
from batchflow.journal.state import RunState

SHOWN = 3  # reasons that people are shown


def remote_json(state: RunState, *, deletes: bool) -> dict[str, Any]:
    """What the journal says of the files there. deletes: whether the spec wants them deleted."""
    from batchflow.steps.expiry import expiries, is_confirmed

    asked = list(expiries(state))
    left = [
        {
            "file_id": copy.file_id,
            "what": copy.what,
            "shard": copy.shard.name,
            "why": why or state.left.get(copy.file_id),
        }
        for copy, why in (_remaining(state) if deletes else ())
    ]
    return {
        "expiring": len(asked),
        "unconfirmed": sum(not is_confirmed(found) for found in asked),
        "deleted": len(state.deleted),
        "left": left,
    }


def _remaining(state: RunState) -> Iterator[tuple[Any, str]]:
    from batchflow.steps.delete import remaining

    return remaining(state)


def _unfinished(reasons: dict[str | None, list[str]]) -> list[str] | None:
    """The files that wait for the end of the run, taken out of all."""
    from batchflow.steps.delete import UNFINISHED

    return reasons.pop(UNFINISHED, None)


def remote_text(record: Mapping[str, Any]) -> list[str]:
    """The same for people; nothing where nothing was wanted."""
    lines = []
    if record["unconfirmed"]:
        asked = render.plural(record["expiring"], "file")
        lines.append(
            f"warning: the provider does not say of {record['unconfirmed']:,} of {asked} that it deletes them in time "
            "(output.expires_after): it may keep them longer"
        )
    if record["deleted"]:
        lines.append(f"Deleted at the provider: {render.plural(record['deleted'], 'file')}.")
    reasons: dict[str | None, list[str]] = {}
    for file in record["left"]:
        reasons.setdefault(file["why"], []).append(file["file_id"])
    if reasons and (waiting := _unfinished(reasons)):
        lines.append(f"To be deleted there when the run has ended: {render.plural(len(waiting), 'file')} so far.")
    for why, ids in list(reasons.items())[:SHOWN]:
        named = ids[0] + (f" and {len(ids) - 1:,} more" if len(ids) > 1 else "")
        lines.append(f"Left at the provider: {named} ({(why or 'not deleted yet: `run` does it').rstrip('.')}).")
    if len(reasons) > SHOWN:
        lines.append(f"Left at the provider for other reasons: {sum(map(len, list(reasons.values())[SHOWN:])):,} more.")
    return ["", *lines] if lines else []
