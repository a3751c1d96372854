"""Batches that do not move: since when a batch has shown no change of its status or counts, and when to say so. Kept
beside the live counts, for `status` and the next process; it decides nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchflow import clock, files

if TYPE_CHECKING:
    from batchflow.providers.base import Batch

HOUR = 3600.0


@dataclass(slots=True)
class Movement:
    """Watches over the open batches of a run. patience: seconds without a change after which it is said."""

    path: Path
    patience: float
    _known: dict[str, Any] = field(default_factory=dict)
    _told: dict[str, int] = field(default_factory=dict)  # batch -> how many times the patience had passed

    def __post_init__(self) -> None:
        self._known = read_progress(self.path)

    def look(self, batches: Mapping[str, "Batch"], since: Mapping[str, str]) -> list[str]:
        """Take in what a look has shown; returns what is to be said. since: when each batch was last known to move."""
        shown = {batch_id: self._seen(batch, since.get(batch_id, "")) for batch_id, batch in batches.items()}
        self._known = shown
        record = {
            "time": clock.stamp(),
            "batches": {batch_id: seen["counts"] for batch_id, seen in shown.items()},
            "moved": {batch_id: seen["moved"] for batch_id, seen in shown.items()},
            "statuses": {batch_id: seen["status"] for batch_id, seen in shown.items()},
        }
        files.replace_unsynced(self.path, json.dumps(record).encode())
        return [line for batch_id, batch in batches.items() if (line := self._words(batch, shown[batch_id]["moved"]))]

    def _seen(self, batch: "Batch", since: str) -> dict[str, Any]:
        known = self._known.get(batch.id)
        counts = dict(batch.counts)
        moved = clock.stamp()
        if known is None or (known["status"], known["counts"]) == (batch.status, counts):
            moved = (known or {}).get("moved") or since or moved
        return {"status": batch.status, "counts": counts, "moved": moved}

    def _words(self, batch: "Batch", moved: str) -> str:
        passed = seconds_since(moved)
        times = int(passed // self.patience)
        if batch.ended or times <= self._told.get(batch.id, 0):
            return ""
        self._told[batch.id] = times
        return (
            f"batch {batch.id} is {batch.status} and has not moved for {in_words(passed)} (since {moved}). It is "
            "watched on, and not given up: look at it in the provider's console; `batchflow cancel` ends it, fetches "
            "what it has answered, and the next run asks for the rest"
        )


def read_progress(path: Path) -> dict[str, Any]:
    """Batch -> its status, counts and last movement, as they were at the last look; empty where nothing is known."""
    try:
        record = json.loads(path.read_bytes())
        moved, statuses = record.get("moved", {}), record.get("statuses", {})
        return {
            batch_id: {"status": statuses.get(batch_id, ""), "counts": counts, "moved": moved.get(batch_id, "")}
            for batch_id, counts in record["batches"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def seconds_since(stamp: str) -> float:
    """Seconds of wall time since a moment as the journal writes it; 0 for what is none, and for a clock set back."""
    try:
        return max(0.0, (clock.now() - datetime.fromisoformat(stamp)).total_seconds())
    except ValueError:
        return 0.0


def in_words(seconds: float) -> str:
    """Roughly how long, for people."""
    if seconds >= 2 * HOUR:
        return f"{seconds / HOUR:.0f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"  # noqa: PLR2004
