"""Take over what other runs of the project have bought: final answers to the very same requests, as raw lines, into the
folder of a new run. Part of building: nothing of it shows before the run is published.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, Final, NamedTuple

from batchflow import files
from batchflow.cost.book import PriceBook
from batchflow.errors import SetupError
from batchflow.journal.events import Event
from batchflow.journal.state import RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.shards import Shard
from batchflow.results.account import Reading
from batchflow.results.lines import records
from batchflow.results.taken import unwrap, wrap
from batchflow.sources.maps import Bought, Others
from batchflow.sources.settling import Settled, SettlingWriter, Taken
from batchflow.steps.base import StepName
from batchflow.steps.collect import check_evidence, read_shard
from batchflow.steps.spending import rates_of, worth_of

TAKEN_ROUND: Final = 0  # the round whose answers were there before anything was asked


class Prior(NamedTuple):
    """Another run of the same scope, as it stands."""

    folder: RunFolder
    state: RunState

    def finals(self, *, checked: bool = False) -> Iterator[tuple[ShardState, Others]]:
        """The requests that have a final outcome, shard by shard, newest round first.

        checked: raises SetupError where that has to be read from files that are not what was collected.
        """
        for shard in sorted(self.state.shards(), key=lambda each: -each.round):
            if shard.collected is None:
                continue
            path = self.folder.map(shard.round)
            account = shard.collected["account"]
            if not account["owed"] and not account.get("kept"):
                yield shard, Others(path, shards=[shard.number])
                continue
            if checked:
                self.check(shard)
            ids = [answer.custom_id for answer in _reading(self, shard) if not answer.owed]
            if ids:
                yield shard, Others(path, ids=ids)

    def bought(self) -> Iterator[Bought]:
        """The final outcomes with where each was bought, newest round first."""
        for shard, requests in self.finals():
            origins = self._origins(shard) if shard.round == TAKEN_ROUND else None
            yield Bought(requests, _place(self.folder.run, shard.round), origins)

    def _origins(self, shard: ShardState) -> Iterator[tuple[str, str]]:
        """Of answers taken over: custom_id here, and where it was bought."""
        for file in (shard.collected or {})["files"]:
            for _, record in records(self.folder.responses / file["name"]):
                if (found := unwrap(record)) is not None:
                    origin = found[1]
                    yield found[0], f"{_place(origin['run'], origin['round'])}/{origin['custom_id']}"

    def owed(self) -> Iterator[Others]:
        """The requests that the newest round has left owed, as far as it is on disk: the next one asks them."""
        for shard in self.state.shards(self.state.round):
            if shard.collected is not None and shard.collected["account"]["owed"]:
                yield Others(self.folder.map(shard.round), ids=list(_reading(self, shard).run().owed))

    def check(self, shard: ShardState) -> None:
        """Raises SetupError where the answers of a shard are not what was collected."""
        try:
            check_evidence(self.folder, (shard.collected or {})["files"])
        except SetupError as error:
            raise SetupError(
                f"answers of the run {self.folder.run} cannot be taken over: {error.message.rpartition(':')[0]}",
                hint="response files are evidence and never edited: put it back from a backup, or write `reuse: none`: "
                "then everything is bought again",
            ) from error


def _place(run: str, round_: int) -> str:
    """Where an answer was bought, but for its custom_id."""
    return f"{run}/{round_}"


def _reading(prior: Prior, shard: ShardState, *, raw: bool = False) -> Reading:
    names = [file["name"] for file in (shard.collected or {})["files"]]
    return read_shard(prior.folder, shard.round, shard.number, names, raw=raw)


def finals_of(priors: Sequence[Prior]) -> Iterator[Settled]:
    """The final answers of other runs, for `SettlingWriter.settle`."""
    for run, prior in enumerate(priors):
        for shard, requests in prior.finals(checked=True):
            yield Settled(run, shard.round, shard.number, requests)


def taken_file(shard: int) -> str:
    """The name of a file of answers taken over."""
    return "r0-taken.jsonl" if shard == 1 else f"r0-taken-{shard:05d}.jsonl"


def copy_answers(folder: RunFolder, writer: SettlingWriter, priors: Sequence[Prior]) -> None:
    """Write the lines taken over. Raises SetupError if the files of another run are not what it collected."""
    with ExitStack() as stack:
        targets: dict[int, BinaryIO] = {}
        for (run, round_, number), count in writer.taken().items():
            prior, wanted = priors[run], dict(writer.taken_from(run, round_, number))
            shard = prior.state.shard(round_, number)
            prior.check(shard)
            for answer in _reading(prior, shard, raw=True):
                taken = wanted.pop(answer.custom_id, None)
                if taken is None:
                    continue
                if taken.shard not in targets:
                    path = folder.responses / taken_file(taken.shard)
                    targets[taken.shard] = stack.enter_context(files.atomic_writer(path))
                targets[taken.shard].write(_record(prior, round_, taken, answer.raw or b""))
            if wanted:
                raise SetupError(
                    f"{len(wanted)} of {count} answers of {prior.folder.run} could not be taken over",
                    hint="its response files were changed; put them back from a backup, or use `reuse: none`",
                )


def _record(prior: Prior, round_: int, taken: Taken, raw: bytes) -> bytes:
    """The record here; what was taken over itself keeps the place where it was bought."""
    if round_ == TAKEN_ROUND and (found := unwrap(raw)) is not None:
        return wrap(taken.ours, found[1], found[2])
    origin: Mapping[str, Any] = {"run": prior.folder.run, "round": round_, "custom_id": taken.theirs}
    return wrap(taken.ours, origin, raw)


def taken_events(folder: RunFolder, shards: Sequence[Shard], built: Event, book: PriceBook) -> list[Event]:
    """The events of a round that was answered before it was asked, with what its answers would cost today."""
    events = [built]
    for shard in shards:
        name = taken_file(shard.number)
        path = folder.responses / name
        file = {
            "name": name,
            "bytes": path.stat().st_size,
            "lines": shard.lines,
            "sha256": files.sha256_of(path),
            "lost": False,
        }
        reading = read_shard(folder, TAKEN_ROUND, shard.number, [name])
        worth, account = worth_of(reading, rates_of(folder, TAKEN_ROUND, shard.number, book)), reading.account
        if account.final.total() != shard.requests:  # else it would be owed, and bought again
            raise AssertionError(f"{name} holds {account.final.total()} final answers to {shard.requests} requests")
        payload = {"batch_id": "", "files": [file], "account": account.to_json(), "worth_usd": worth}
        events.append(Event("collected", payload, step=StepName.BUILD, round=TAKEN_ROUND, shard=shard.number))
    return events
