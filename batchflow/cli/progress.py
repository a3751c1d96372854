"""Progress of a run: a live line on a terminal, a few quiet lines otherwise."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from batchflow import clock
from batchflow.cli import render
from batchflow.engine.run import OpenRun
from batchflow.errors import escape_controls, redact
from batchflow.journal.state import Phase, RunState, ShardState

EVERY = 0.5  # seconds between two looks at the counts
STEADY = 3.0  # seconds without a new batch after which what waits is said to wait for a place
WAITING = (
    "The provider may take up to 24 h. You can close this window: run the same command again to fetch the answers."
)


class Progress:
    """What the runner calls: `say` for lines worth reading (each once), `progress` at every turn of its loop.

    announces: whether to say what was sent, and how long it may take.
    """

    def __init__(self, run: OpenRun, *, announces: bool = True) -> None:
        self._run = run
        self._announces = announces
        self._said: set[str] = set()
        self._sent_before = set(_batches(run.state))
        self._announced: set[tuple[int, bool]] = set()
        self._there, self._changed = 0, 0.0  # shards at the provider or back from it, and when that was new
        self._next = 0.0
        self._began = clock.monotonic()
        self._live = _LiveLine() if sys.stderr.isatty() else None

    def say(self, line: str) -> None:
        """Show a line; the same line is shown once."""
        if line not in self._said:
            self._said.add(line)
            self._print(line)

    def progress(self, state: RunState) -> None:
        if self._announces:
            self._announce(state)
        now = clock.monotonic()
        if self._live is not None and now >= self._next:
            self._next = now + EVERY
            self._live.show(*self._figures(state))

    def close(self) -> None:
        if self._live is not None:
            self._live.close()

    def _print(self, line: str) -> None:
        if self._live is not None:
            self._live.above(line)
        else:
            render.note(line)

    def _announce(self, state: RunState) -> None:
        """What is with the provider now: once a round all of it, and before that what a full queue lets through."""
        shards = list(state.shards(state.round))
        there = [shard for shard in shards if shard.phase in {Phase.POLL, Phase.COLLECT, Phase.COLLECTED}]
        flying = [shard for shard in there if shard.phase is not Phase.COLLECTED]
        now = clock.monotonic()
        if len(there) != self._there:
            self._there, self._changed = len(there), now
        waiting = any(shard.phase in {Phase.UPLOAD, Phase.START, Phase.DOUBT} for shard in shards)
        key = (state.round, waiting)
        if key in self._announced or not flying or (waiting and now < self._changed + STEADY):
            return
        self._announced.add(key)
        new = [shard for shard in there if shard.batch and shard.batch.batch_id not in self._sent_before]
        tail = "The local server answers in moments (SIMULATED)." if self._run.plan.simulated else WAITING
        if waiting:
            later = sum(shard.lines for shard in shards) - sum(shard.lines for shard in there)
            tail = f"{render.plural(later, 'request')} follow as these end. {tail}"
        said = f"Sent {_amount(new)}." if new else f"Waiting for {_amount(flying)}, sent earlier."
        self.say(f"{said} {tail}")

    def _figures(self, state: RunState) -> tuple[int, int, str]:
        shards = list(state.shards(state.round))
        counts = self._live_counts()
        finished = 0
        for shard in shards:
            if shard.phase is Phase.COLLECTED:
                finished += shard.lines
            elif shard.batch is not None:
                seen = counts.get(shard.batch.batch_id, {})
                finished += min(shard.lines, seen.get("completed", 0) + seen.get("failed", 0))
        total = sum(shard.lines for shard in shards)
        done = sum(shard.phase is Phase.COLLECTED for shard in shards)
        elapsed = int(clock.monotonic() - self._began)
        words = f"round {state.round}, shard {done}/{len(shards)}, {elapsed // 60}:{elapsed % 60:02d}, {_waits(shards)}"
        return finished, total, words

    def _live_counts(self) -> dict[str, dict[str, int]]:
        try:
            batches: dict[str, dict[str, int]] = json.loads(self._run.folder.progress.read_bytes())["batches"]
        except (OSError, ValueError, KeyError):
            return {}
        return batches


def _amount(shards: Sequence[ShardState]) -> str:
    """How much there is in these shards, and in which batches."""
    ids = [shard.batch.batch_id for shard in shards if shard.batch is not None]
    named = ids[0] + (f" and {len(ids) - 1:,} more" if len(ids) > 1 else "")
    requests = render.plural(sum(shard.lines for shard in shards), "request")
    return f"{requests} in {render.plural(len(ids), 'batch', 'batches')} ({named})"


def _batches(state: RunState) -> Iterator[str]:
    return (batch.batch_id for shard in state.shards() for batch in shard.batches)


def _waits(shards: list[Any]) -> str:
    """What the run waits for, in words."""
    phases = {shard.phase for shard in shards}
    if Phase.COLLECT in phases:
        return "fetching answers"
    if Phase.POLL in phases:
        statuses = sorted({shard.batch.status for shard in shards if shard.phase is Phase.POLL and shard.batch})
        return f"the provider: {', '.join(statuses)}"
    return "sending" if phases & {Phase.UPLOAD, Phase.START, Phase.DOUBT} else "loading"


class _LiveLine:
    """One line that rich keeps at the bottom of a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        self._console = Console(stderr=True)
        columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._bar.start()
        self._task = self._bar.add_task("", total=None)

    def show(self, finished: int, total: int, words: str) -> None:
        self._bar.update(self._task, completed=finished, total=total, description=escape_controls(words))

    def above(self, line: str) -> None:
        self._console.print(escape_controls(redact(line)), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()
