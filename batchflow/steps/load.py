"""Put what was collected into the tables. Free to repeat: a product made from the run's folder alone, offline.

Crash windows: `load.before-commit`, `load.after-commit` (each shard is one transaction: there or not there).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from batchflow.errors import BatchflowError, SinkError
from batchflow.journal.state import IN_FLIGHT, Phase, RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan, read_plan
from batchflow.results.account import Account, Reading, Unreadable
from batchflow.results.outcome import Answer, Outcome
from batchflow.sinks.duckdb import (
    TAKEN,
    BadLine,
    BatchRow,
    PlainShard,
    ResponseRow,
    Rest,
    ResultFile,
    RunRow,
    Sink,
)
from batchflow.spec.endpoints import CHAT
from batchflow.steps.base import StepName
from batchflow.steps.collect import check_evidence, read_shard
from batchflow.steps.spending import cost_of, prices_kept, spent
from batchflow.steps.summary import account_of, state_of
from batchflow.steps.take import TAKEN_ROUND

_SHARED: Final = tuple(name for name in ResponseRow._fields if name not in {"outcome", "body", "cost_usd"})


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
            return there and (self._seen_to_add_up(sink, state) or not self._difference(sink, state))

    def _seen_to_add_up(self, sink: Sink, state: RunState) -> bool:
        """Whether a glance is enough: one round that left nothing owed, and as many lines of each outcome."""
        account = account_of(state)
        final = {kind: count for kind, count in account.final.items() if count}
        return not account.owed.total() and list(state.rounds) == [1] and sink.glance(self._plan.run) == final

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
        account = Account.from_json(collected["account"])
        batch, read = _batch_row(shard), _Reader(self.folder, self._plan, shard, names)
        count = self._plain(shard, account)
        if count:
            there = [file for file in collected["files"] if not file["lost"]]
            files = [ResultFile(self.folder.responses / file["name"], file["odd"]) for file in there]
            plain = PlainShard(
                self._plan.run, batch, files, count, account.unreadable, account.final[Outcome.INVALID],
                account.final.total() == count and not account.owed.total(),
                prices_kept(shard), self._plan.answer, self._plan.raw,
            )  # fmt: skip
            rows = sink.load_files(plain, partial(read.rest, account, {file.path: file.odd for file in files}))
            if rows is not None:
                return rows
        return sink.load_shard(self._plan.run, batch, read.every())

    def _plain(self, shard: ShardState, account: Account) -> int:
        """How many of a shard's answers may be read by the file, each the one answer to its request.

        What was collected by an earlier version does not say which lines they are; and they are other ones where bodies
        were to be stored and are no more, or the other way round.
        """
        asked_once = shard.round == 1 and self._plan.endpoint == CHAT and self._plan.duplicates != "share"
        told = all("odd" in file or file["lost"] for file in (shard.collected or {})["files"])
        if not (asked_once and told) or account.doubled or account.unknown or not account.plain:
            return 0
        return account.plain if self._plan.raw == read_plan(self.folder.manifest).raw else 0

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
            cost_usd=spent(state).cost_usd,
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


class _Reader:
    """Reads a shard line by line, as the tables have it."""

    def __init__(self, folder: RunFolder, plan: Plan, shard: ShardState, names: Sequence[str]) -> None:
        self._folder, self._raw, self._shard, self._names = folder, plan.raw, shard, names

    def every(self) -> Rest:
        return self._read(read_shard(self._folder, self._shard.round, self._shard.number, self._names))

    def rest(self, account: Account, odd: Mapping[Path, Sequence[int]], expected: Iterable[str]) -> Rest:
        """Only the odd lines of each file, once the plain answers are in the table, to the requests that are left then.
        Raises SinkError where both together are not what was counted.
        """
        shard = self._shard
        reading = read_shard(self._folder, shard.round, shard.number, self._names, numbers=odd, expected=expected)

        def owed() -> Mapping[str, str]:
            here = reading.account
            here.final[Outcome.ANSWERED] += account.plain
            # an odd line that was taken in place of a plain one leaves a request without an answer here
            if (+here.final, here.owed, here.unreadable) != (+account.final, account.owed, account.unreadable):
                raise SinkError(f"{shard.name}: the answers are not as they were counted")
            return reading.owed

        return self._read(reading)._replace(owed=owed)

    def _read(self, reading: Reading) -> Rest:
        prices = prices_kept(self._shard)
        rows = (_row(answer, cost_of(answer, prices), raw=self._raw) for answer in reading)
        return Rest(rows, lambda: reading.owed, lambda: reading.kept, lambda: map(_bad_line, reading.unreadable))


def _bad_line(line: Unreadable) -> BadLine:
    return BadLine(line.file, line.line, line.record.decode("utf-8", "backslashreplace"), line.reason)


def _collected(state: RunState) -> Iterator[ShardState]:
    return (shard for shard in state.shards() if shard.phase is Phase.COLLECTED)


def _batch_id(shard: ShardState) -> str:
    """The id of the shard's batch; what was taken over came in none."""
    if shard.round == TAKEN_ROUND:
        return f"{TAKEN}{shard.name}"
    return "" if shard.batch is None else shard.batch.batch_id


def _row(answer: Answer, cost: float | None, *, raw: bool) -> ResponseRow:
    """The answer as the table has it: the same names, and what it has cost."""
    shared = {name: getattr(answer, name) for name in _SHARED}
    return ResponseRow(**shared, outcome=answer.outcome.value, body=answer.body if raw else None, cost_usd=cost)


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
