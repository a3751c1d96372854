"""The account over any history of rounds, those that follow by themselves and those that ask again on purpose: every
request has one outcome, the newest final one, and only what was named or is owed is chosen.
"""

import random
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchflow.journal.events import Event
from batchflow.journal.state import RunState, apply
from batchflow.results.account import Account, Earlier, Reading
from batchflow.results.outcome import Answer, Outcome
from batchflow.sources.attempts import Attempt, Attempts, Place
from batchflow.steps.summary import State, account_of, may_continue, owed_now, state_of
from tests.unit.journal.histories import batch, event, header, intent, receipt, uploaded

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FINAL = ("answered", "refused", "truncated", "error")
OWED = ("expired", "cancelled", "error")
SIZE = 4


def judge(line: bytes) -> Answer:
    name, outcome, owed = line.decode().split(",")
    return Answer(name, Outcome(outcome), owed=owed == "owed", content=name)


class Teller:
    """Tells a history and keeps, without the code under test, what became of every request in every round."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.state = RunState()
        self.round = 0
        self.ids = [f"q{number}" for number in range(self.random.randint(1, 14))]
        self.model = {name: self.random.choice("ab") for name in self.ids}
        self.serves = {name: self.random.choice((1, 1, 1, 3)) for name in self.ids}
        self.final: dict[str, str] = {}
        self.owed: dict[str, str] = dict.fromkeys(self.ids, "unsent")
        self.said: list[tuple[Place, list[Attempt]]] = []
        self.record(header())

    @property
    def requests(self) -> int:
        return sum(self.serves.values())

    def record(self, one: Event) -> None:
        apply(self.state, one)

    def expected(self) -> tuple[Counter[str], int]:
        final: Counter[str] = Counter()
        for name, outcome in self.final.items():
            final[outcome] += self.serves[name]
        return final, sum(self.serves[name] for name in self.owed)

    def check(self) -> None:
        account = account_of(self.state)
        final, owed = self.expected()
        assert {kind: count for kind, count in account.final.items() if count} == final
        assert account.owed.total() == owed
        assert account.requests == self.requests

    def build(self, names: list[str], retry: dict[str, Any] | None = None) -> None:
        self.round += 1
        parts = [names[at : at + SIZE] for at in range(0, len(names), SIZE)]
        entries = [
            {
                "shard": number,
                "requests": sum(self.serves[name] for name in part),
                "lines": len(part),
                "again": sum(self.serves[name] for name in part if name in self.final),
                "bytes": 1,
                "sha256": "x",
            }
            for number, part in enumerate(parts, start=1)
        ]
        payload = {"requests": 0, "shards": entries} | ({} if retry is None else {"retry": retry})
        self.record(Event("built", payload, round=self.round))
        self.check()
        for number, part in enumerate(parts, start=1):
            self.answer((self.round, number), part)

    def answer(self, place: tuple[int, int], part: list[str]) -> None:
        for one in (
            uploaded(place), intent(place, str(place)), receipt(place, str(place), str(place)), batch(place, str(place))
        ):  # fmt: skip
            self.record(one)
            self.check()
        lines, attempts = [], []
        earlier = {name: Earlier(self.final[name]) for name in part if name in self.final}
        for name in part:
            roll = self.random.random()
            if roll < 0.1:
                outcome, final = "missing", False
            else:
                final = roll < 0.6
                outcome = self.random.choice(FINAL if final else OWED)
                lines.append(f"{name},{outcome},{'final' if final else 'owed'}")
            attempts.append(Attempt(name, outcome, final, self.serves[name]))
            if final:
                self.final[name] = outcome
                self.owed.pop(name, None)
            elif name not in self.final:
                self.owed[name] = outcome
        path = self.folder / "answers.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        reading = Reading(part, [path], judge, serves=self.serves, earlier=earlier).run()
        account = Account.from_json(reading.account.to_json())
        assert account == reading.account
        assert set(reading.owed) == {name for name in part if name in self.owed}
        self.said.append(
            (Place(*place), [each for each in attempts if each.final or each.custom_id not in reading.kept])
        )
        self.record(event("collected", place, batch_id=str(place), files=[], account=account.to_json()))
        self.check()

    def follow(self) -> None:
        """The round that follows by itself: what the newest one left owed."""
        asked = {each.custom_id for place, attempts in self.said if place.round == self.round for each in attempts}
        names = [name for name in self.owed if name in asked]
        assert owed_now(self.state) == sum(self.serves[name] for name in names)
        if names:
            assert state_of(self.state) is State.PARTIAL
            self.build(names)
        else:
            assert not may_continue(self.state, 99)

    def retry(self) -> None:
        outcomes = [kind for kind in FINAL if self.random.random() < 0.4]
        model = self.random.choice(["", "", "a"])
        wanted = {name for name in self.ids if name in self.owed or self.final[name] in outcomes}
        others = {name for name in wanted if model and self.model[name] != model}
        with Attempts() as attempts:
            for place, said in self.said:
                attempts.add(place, said)
            attempts.choose(outcomes)
            attempts.leave(others)
            chosen = {name: of[0] for place in attempts.places() for name, of in attempts.of(place).items()}
            again, owed, left = attempts.again(), attempts.owed(), attempts.owed(left=True)
        assert chosen == {name: self.final.get(name) for name in wanted - others}
        assert sum(again.values()) == sum(self.serves[name] for name in chosen if name in self.final)
        assert sum(owed.values()) == sum(self.serves[name] for name in chosen if name in self.owed)
        assert sum(left.values()) == sum(self.serves[name] for name in others if name in self.owed)
        if chosen:
            self.build(sorted(chosen), {"outcomes": again, "model": model, "left": left})
            assert self.state.counted == 1


@quick
@given(st.integers(0, 2**32))
def test_the_account_is_exact_over_any_history(tmp_path: Path, seed: int) -> None:
    teller = Teller(seed, tmp_path)
    teller.build(list(teller.ids))
    for _ in range(teller.random.randint(0, 6)):
        if teller.random.random() < 0.5:
            teller.follow()
        else:
            teller.retry()
    assert state_of(teller.state) is (State.PARTIAL if teller.owed else State.COMPLETE)
