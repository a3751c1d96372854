"""Write the rounds after the first: what is owed, by itself; what the user names, when asked to. The lines are those of
earlier rounds, byte for byte.

Free to repeat until it is published. Crash windows: `round.before-publish` and `round.after-publish` (files without an
event: written again before anything of the round is sent).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, NamedTuple

from batchflow import failpoints
from batchflow.journal.events import Event
from batchflow.journal.state import RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.shards import ShardCutter, custom_id_of, shard_name
from batchflow.results.account import Reading
from batchflow.sources.attempts import Attempt, Attempts, Place
from batchflow.sources.maps import Chosen, write_later
from batchflow.steps.build import CHUNK, built_event
from batchflow.steps.collect import read_shard
from batchflow.steps.evidence import check_built
from batchflow.steps.requests import travels_of

OWED: Final = (None, False)  # of a line that is asked again because it has no outcome


class Limits(NamedTuple):
    """The sizes of the request files to be written."""

    requests: int
    bytes_: int


def build_next(folder: RunFolder, state: RunState, limits: Limits) -> Event:
    """Write the next round: everything that the last one left owed. Returns the event that makes the round true."""

    def choose(writer: _Writer) -> Iterator[list[Chosen]]:
        for shard, reading in owed_lines(folder, state):
            yield from writer.copy(Place(shard.round, shard.number), dict.fromkeys(reading.owed, OWED), reading.serves)

    return _write(folder, state, limits, choose)


def owed_lines(folder: RunFolder, state: RunState) -> Iterator[tuple[ShardState, Reading]]:
    """The files of the newest round that have left something owed, read."""
    for shard in state.shards(state.round):
        if shard.collected is not None and shard.collected["account"]["owed"]:
            yield shard, _read(folder, shard).run()


class Again(NamedTuple):
    """What would be asked again on purpose: requests with a final outcome, by that outcome, and owed ones, by kind.
    left: owed ones that are left aside, because they ask another model.
    """

    attempts: Attempts
    outcomes: Mapping[str, int]
    owed: Mapping[str, int]
    left: Mapping[str, int]
    model: str

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values()) + sum(self.owed.values())


@contextmanager
def find_again(folder: RunFolder, state: RunState, outcomes: Collection[str], model: str = "") -> Iterator[Again]:
    """What is owed, and what has one of these final outcomes; of it, what asks the model, where one is named.

    The run must have ended: every request of its newest round is on disk.
    """
    with Attempts() as attempts:
        for round_ in sorted(state.rounds):
            _survey(attempts, folder, state, round_, outcomes)
        attempts.choose(outcomes)
        if model:
            for place in list(attempts.places()):
                attempts.leave(_asking_others(folder, place, attempts.of(place), model))
        yield Again(attempts, attempts.again(), attempts.owed(), attempts.owed(left=True), model)


def _survey(attempts: Attempts, folder: RunFolder, state: RunState, round_: int, outcomes: Collection[str]) -> None:
    """Read the shards that hold something of what may be asked again, and no others."""
    settled = []
    for shard in state.shards(round_):
        account: Mapping[str, Any] = (shard.collected or {})["account"]
        if not (account["owed"] or account.get("kept") or account["final"].keys() & set(outcomes)):
            settled.append(shard.number)
            continue
        reading = _read(folder, shard)
        serves = reading.serves
        finals = [(each.custom_id, each.outcome.value, True) for each in reading if not each.owed]
        owed = [(name, outcome.value, False) for name, outcome in reading.owed.items()]
        attempts.add(Place(round_, shard.number), (Attempt(*each, serves.get(each[0], 1)) for each in (*finals, *owed)))
    if settled and round_ > 1:  # before that nobody was asked: there is nothing that they put an end to
        attempts.add_settled(folder.map(round_), round_, settled)


def _asking_others(folder: RunFolder, place: Place, chosen: Collection[str], model: str) -> list[str]:
    with folder.shard(shard_name(*place)).open("rb") as handle:
        return [name for line in handle if (name := custom_id_of(line)) in chosen and travels_of(line).model != model]


def build_retry(folder: RunFolder, state: RunState, again: Again, limits: Limits) -> Event:
    """Write the round that asks again on purpose. Returns the event that makes it true."""

    def choose(writer: _Writer) -> Iterator[list[Chosen]]:
        for place in list(again.attempts.places()):
            yield from writer.copy(place, again.attempts.of(place), _serves(folder, state, place))

    told = {"outcomes": dict(again.outcomes), "model": again.model, "left": dict(again.left)}
    return _write(folder, state, limits, choose, retry=told)


def _serves(folder: RunFolder, state: RunState, place: Place) -> Mapping[str, int]:
    return _read(folder, state.shard(*place)).serves


def _read(folder: RunFolder, shard: ShardState) -> Reading:
    return read_shard(folder, shard.round, shard.number, [file["name"] for file in (shard.collected or {})["files"]])


class _Writer:
    """Copies request lines into the files of a new round."""

    def __init__(self, folder: RunFolder, state: RunState, cutter: ShardCutter) -> None:
        self._folder, self._state, self._cutter = folder, state, cutter
        self.again: Counter[int] = Counter()  # requests of each new file that have a final outcome already

    def copy(
        self, place: Place, wanted: Mapping[str, tuple[str | None, bool]], serves: Mapping[str, int]
    ) -> Iterator[list[Chosen]]:
        """Copy the wanted lines of one file; says where they went. wanted: custom_id -> the outcome it has already, and
        whether another run had bought that. Raises SetupError for a file that was changed since it was built.
        """
        check_built(self._folder, self._state, [self._state.shard(*place)])
        with self._folder.shard(shard_name(*place)).open("rb") as handle:
            while part := list(islice(handle, CHUNK)):
                placed = []
                for line in part:
                    name = custom_id_of(line)
                    if name in wanted:
                        weight = serves.get(name, 1)
                        model, inputs = travels_of(line)
                        target = self._cutter.add(line, group=model, inputs=inputs, serves=weight)
                        placed.append(Chosen(name, *target, *wanted[name]))
                        self.again[target.shard] += 0 if wanted[name] == OWED else weight
                if placed:
                    yield placed


def _write(
    folder: RunFolder,
    state: RunState,
    limits: Limits,
    choose: Callable[[_Writer], Iterator[list[Chosen]]],
    *,
    retry: Mapping[str, Any] | None = None,
) -> Event:
    number = max(state.round, 1) + 1  # round 1 is what a plan asks, though everything was taken over
    for leftover in folder.requests.glob(f"r{number}[-.]*"):
        leftover.unlink()
    with ShardCutter(folder, number, requests=limits.requests, bytes_=limits.bytes_) as cutter:
        writer = _Writer(folder, state, cutter)
        write_later(folder.first_maps(), choose(writer), folder.map(number))
        failpoints.hit("round.before-publish")
        shards = cutter.close()
    failpoints.hit("round.after-publish")
    return built_event(number, shards, again=writer.again, retry=retry)
