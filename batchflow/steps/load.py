"""Put what was collected into the tables. Free to repeat: a product made from the run's folder alone, offline.

Crash windows: `load.before-commit`, `load.after-commit` (each shard is one transaction: there or not there).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from batchflow.errors import BatchflowError
from batchflow.journal.state import IN_FLIGHT, Phase, RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan
from batchflow.results.outcome import Answer
from batchflow.sinks.duckdb import TAKEN, BatchRow, ResponseRow, RunRow, Sink
from batchflow.steps.base import StepName
from batchflow.steps.collect import check_evidence, read_shard
from batchflow.steps.summary import account_of, state_of
from batchflow.steps.take import TAKEN_ROUND


class Loader:
    """Brings one run's tables up to what its folder holds."""

    name = StepName.LOAD

    def __init__(self, folder: RunFolder, plan: Plan, database: Path) -> None:
        self.folder, self._plan = folder, plan
        self.database = database
        self._checked: set[str] = set()  # shards whose files are what was collected
        self.others_dropped = False  # the tables of an older layout went, with the rows of every other run

    def up_to_date(self, state: RunState) -> bool:
        """Whether the database is there, in today's layout, with exactly this run's rows."""
        if not self.database.is_file():
            return False
        with Sink.open(self.database) as sink:
            there = sink.has(self._plan.run, batches=[_batch_id(shard) for shard in _collected(state)])
            return there and not self._difference(sink, state)

    def load(self, state: RunState, *, anew: bool = False) -> int:
        """Load every collected shard that the tables lack; all of them, anew, also where the tables do not add up.

        Returns the response rows added. Raises DatabaseHeld if another program holds the database, SinkError if it does
        not do what it should.
        """
        for shard in _collected(state):
            if anew or shard.name not in self._checked:
                check_evidence(self.folder, (shard.collected or {})["files"])
                self._checked.add(shard.name)
        with Sink.open(self.database) as sink:
            rows = self._fill(sink, state, anew=anew)
            if not anew and self._difference(sink, state):  # somebody else changed them
                rows = self._fill(sink, state, anew=True)
            self._check(sink, state)
            sink.set_run(self._run_row(state))
            sink.refresh()
        return rows

    def _fill(self, sink: Sink, state: RunState, *, anew: bool) -> int:
        there = sink.loaded(self._plan.run)
        if anew and there is not None:
            sink.drop_run(self._plan.run)
            there = None
        if there is None:
            self.others_dropped = sink.begin(self._plan, self.folder) or self.others_dropped
            there = frozenset()
        rows = sum(self._shard(sink, shard) for shard in _collected(state) if _batch_id(shard) not in there)
        sink.set_waiting(self._plan.run, in_flight=[s.number for s in state.shards(1) if s.phase in IN_FLIGHT])
        return rows

    def _shard(self, sink: Sink, shard: ShardState) -> int:
        collected: Mapping[str, Any] = shard.collected or {}
        names = [file["name"] for file in collected["files"]]
        reading = read_shard(self.folder, shard.round, shard.number, names)
        rows = (_row(answer, raw=self._plan.raw) for answer in reading)
        return sink.load_shard(self._plan.run, _batch_row(shard), rows, lambda: reading.owed, lambda: reading.kept)

    def _run_row(self, state: RunState) -> RunRow:
        account = account_of(state)
        return RunRow(
            run_id=self._plan.run,
            experiment=self._plan.experiment,
            created_at=self._plan.created_at,
            state=state_of(state).value,
            scope=self._plan.scope,
            simulated=self._plan.simulated,
            model=self._plan.model,
            fingerprint=self._plan.fingerprint,
            requests=self._plan.requests,
            outcomes=dict(account.outcomes),
            owed=account.owed.total(),
            cost_usd=None,
            pilot=self._plan.sample is not None,
        )

    def _difference(self, sink: Sink, state: RunState) -> str:
        """What is wrong with law 3, if anything: tables and journal count the same, and both count every request."""
        (final, owed), account = sink.account(self._plan.run), account_of(state)
        same_final = final == {kind: count for kind, count in account.final.items() if count}
        if same_final and sum(owed.values()) == account.owed.total() == self._plan.requests - account.final.total():
            return ""
        return (
            f"the account of {self._plan.run} does not add up: {self._plan.requests} requests; the tables have {final} "
            f"and owe {owed}, the journal has {dict(account.final)} and owes {dict(account.owed)}"
        )

    def _check(self, sink: Sink, state: RunState) -> None:
        if difference := self._difference(sink, state):
            raise BatchflowError(difference, hint="the run's folder has everything; please report this")


def _collected(state: RunState) -> Iterator[ShardState]:
    return (shard for shard in state.shards() if shard.phase is Phase.COLLECTED)


def _batch_id(shard: ShardState) -> str:
    """The id of the shard's batch; what was taken over came in none."""
    if shard.round == TAKEN_ROUND:
        return f"{TAKEN}{shard.name}"
    return "" if shard.batch is None else shard.batch.batch_id


def _row(answer: Answer, *, raw: bool) -> ResponseRow:
    """The answer as the table has it: the same names, and what it costs; what was taken over costs nothing again."""
    shared = {name: getattr(answer, name) for name in ResponseRow._fields if name != "cost_usd"}
    cost = None if answer.taken_from is None else 0.0
    own = {"outcome": answer.outcome.value, "body": answer.body if raw else None, "cost_usd": cost}
    return ResponseRow(**shared | own)


def _batch_row(shard: ShardState) -> BatchRow:
    facts = {} if shard.batch is None else shard.batch.facts
    moments, counts, tokens = facts.get("moments", {}), facts.get("counts", {}), facts.get("tokens", {})
    ended = [moments.get(name) for name in ("completed_at", "failed_at", "expired_at", "cancelled_at")]
    return BatchRow(
        round=shard.round,
        shard=shard.number,
        batch_id=_batch_id(shard),
        status=facts.get("status", ""),
        created_at=moments.get("created_at"),
        in_progress_at=moments.get("in_progress_at"),
        finalizing_at=moments.get("finalizing_at"),
        ended_at=next((moment for moment in ended if moment is not None), None),
        counts_total=counts.get("total"),
        counts_completed=counts.get("completed"),
        counts_failed=counts.get("failed"),
        input_file_id=shard.file_id,
        output_file_id=facts.get("output_file_id"),
        error_file_id=facts.get("error_file_id"),
        prompt_tokens=tokens.get("input_tokens"),
        completion_tokens=tokens.get("output_tokens"),
    )
