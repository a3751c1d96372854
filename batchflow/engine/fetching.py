"""The lane that brings answers home, onto our disk."""

from collections.abc import Hashable, Iterator
from typing import Any, Final

from batchflow import failpoints
from batchflow.engine.lanes import Call, Failure, Shared, event
from batchflow.errors import ProviderUntrusted
from batchflow.journal.state import Phase, ShardState
from batchflow.results.account import Account
from batchflow.steps.base import StepName
from batchflow.steps.collect import Collect, Collected, CollectTask, read_shard
from batchflow.steps.spending import MANY, price_answers, rates_of

REFUSED_TRIES: Final = 5


class CollectLane:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._step = Collect(shared.provider, shared.run.folder)
        self._tries: dict[str, int] = {}
        self._since: dict[str, float] = {}  # the first failure of a shard's collection
        self._patient: dict[str, bool] = {}  # whether the last try of a shard was still to wait for what is not there

    def calls(self, now: float) -> Iterator[Call]:
        shared = self._shared
        if not shared.settings.reaches(StepName.COLLECT):
            return
        for shard in shared.shards(Phase.COLLECT):
            key = ("collect", shard.name)
            if shared.backoff(key).due <= now:
                task = self._task(shard, now)
                yield Call(key, lambda task=task: self._step.perform(task), shard)  # type: ignore[misc]

    def _task(self, shard: ShardState, now: float) -> CollectTask:
        facts = {} if shard.batch is None else shard.batch.facts
        completed = facts.get("counts", {}).get("completed")
        self._patient[shard.name] = now - self._since.get(shard.name, now) <= self._shared.patience
        return CollectTask(
            shard=shard.name,
            batch_id="" if shard.batch is None else shard.batch.batch_id,
            output_file_id=facts.get("output_file_id"),
            error_file_id=facts.get("error_file_id"),
            expected_lines=completed,
            tries=self._tries.get(shard.name, 0),
            expires_after=None if shard.batch is None else shard.batch.expires_after,
            patient=self._patient[shard.name],
        )

    def succeeded(self, call: Call, result: tuple[Collected, ...], now: float) -> None:
        del now
        shard: ShardState = call.subject
        shared = self._shared
        account, odd, cost = self._count(shard, [file.name for file in result])
        batch_id = "" if shard.batch is None else shard.batch.batch_id
        shared.run.record(
            [
                event(
                    shard,
                    StepName.COLLECT,
                    "collected",
                    batch_id=batch_id,
                    files=[file.to_json() | odd.get(file.name, {}) for file in result],
                    account=account.to_json(),
                    **cost,
                )
            ]
        )
        failpoints.hit("collect.after-event")
        shared.backoff(call.key).succeed()
        shared.out_of_money += account.out_of_money
        if any(file.lost for file in result):
            shared.lost += 1
            shared.say(f"{shard.name}: the provider no longer has a result file of {batch_id}; its rows stay owed")

    def _count(self, shard: ShardState, names: list[str]) -> tuple[Account, dict[str, Any], dict[str, Any]]:
        """What the answers come to; which lines of each file are not of the usual kind; and what the answers have cost,
        where that is counted.
        """
        folder, book = self._shared.run.folder, self._shared.settings.prices
        reading, cost = read_shard(folder, shard.round, shard.number, names), {}
        if book is None:
            reading.run()
        else:
            apart = 1 < len(self._shared.run.plan.conditions) <= MANY
            rates = rates_of(folder, shard.round, shard.number, book)
            cost = {"cost": price_answers(reading, rates, apart=apart)}
        odd = (reading.odd_lines() or {}) if shard.round == 1 else {}  # later rounds are read line by line anyway
        return reading.account, {name: {"odd": numbers} for name, numbers in odd.items()}, cost

    def failed(self, call: Call, error: Failure, now: float) -> None:
        shard: ShardState = call.subject
        since = self._since.setdefault(shard.name, now)
        self._tries[shard.name] = self._tries.get(shard.name, 0) + 1
        over = now - since > self._shared.patience and not self._patient[shard.name]
        if over and self._tries[shard.name] > REFUSED_TRIES:
            self._shared.halt(
                ProviderUntrusted(
                    f"the answers of {shard.name} cannot be fetched: {error.message}",
                    hint="nothing is asked again: they are paid for. Run the same command again later; if the provider "
                    "says that they are lost, `batchflow run SPEC --fresh` buys them again",
                )
            )
        else:
            self._shared.trouble(call.key, error, now, f"answers of {shard.name}")

    def due(self, now: float) -> Iterator[float]:
        keys: Iterator[Hashable] = (("collect", shard.name) for shard in self._shared.shards(Phase.COLLECT))
        return self._shared.next_due(keys, now)
