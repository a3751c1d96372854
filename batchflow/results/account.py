"""The account of a shard (law 3): every request has exactly one outcome, whatever the provider's files hold."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from batchflow.results.lines import fault, parse, picked
from batchflow.results.outcome import Answer, Outcome


@dataclass(slots=True)
class Account:
    """Requests by outcome, final and owed (together they are all requests), and lines that are nobody's outcome.

    Where a round asks again for what has a final outcome: replaced counts the earlier outcomes in place of which there
    is a new final one, kept the repetitions that came to none, by kind; their earlier outcome stands.
    """

    final: Counter[str] = field(default_factory=Counter)
    owed: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    retaken: int = 0  # of the replaced, those that another run had bought
    doubled: int = 0  # further lines of a request that has its outcome
    conflicting: int = 0  # of these, final ones that say something else
    unknown: int = 0  # lines of a custom_id that was not in the shard
    unreadable: int = 0  # lines that are no result at all
    out_of_money: int = 0  # rows that failed because the account ran dry
    plain: int = 0  # of the final ones, those that may be read by the file; told of a shard, not of a run

    @property
    def outcomes(self) -> Counter[str]:
        """Requests by outcome; an `error` may be final or owed."""
        return self.final + self.owed

    @property
    def requests(self) -> int:
        return self.final.total() + self.owed.total()

    @property
    def answered(self) -> int:
        return self.final[Outcome.ANSWERED]

    def add(self, other: Self) -> None:
        """Take in another shard."""
        self.owed.update(other.owed)
        self._add_settled(other)

    def follow_with(self, later: Self, left: Mapping[str, int] | None = None) -> None:
        """Take in a later round: it asked again what was owed, all but what was left aside."""
        self.owed = Counter(later.owed)
        self.owed.update(left or {})
        self.kept.clear()  # of the newest round alone
        self._add_settled(later)

    def _add_settled(self, other: Self) -> None:
        self.final.update(other.final)
        self.final.subtract(other.replaced)
        self.kept.update(other.kept)
        self.retaken += other.retaken
        self.doubled += other.doubled
        self.conflicting += other.conflicting
        self.unknown += other.unknown
        self.unreadable += other.unreadable
        self.out_of_money += other.out_of_money

    def to_json(self) -> dict[str, Any]:
        again = {name: getattr(self, name) for name in ("replaced", "kept")}
        return {
            "final": dict(sorted(self.final.items())),
            "owed": dict(sorted(self.owed.items())),
            **{name: dict(sorted(counts.items())) for name, counts in again.items() if counts},
            **({"retaken": self.retaken} if self.retaken else {}),
            "doubled": self.doubled,
            "conflicting": self.conflicting,
            "unknown": self.unknown,
            "unreadable": self.unreadable,
            "out_of_money": self.out_of_money,
            **({"plain": self.plain} if self.plain else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        # older journals lack `conflicting` and `plain`; others stand only where something was asked again
        counts = {name: value[name] for name in ("doubled", "unknown", "unreadable", "out_of_money")}
        counts |= {name: value.get(name, 0) for name in ("retaken", "conflicting", "plain")}
        final, owed = Counter(value["final"]), Counter(value["owed"])
        replaced, kept = (Counter(value.get(name, {})) for name in ("replaced", "kept"))
        return cls(final, owed, replaced, kept, **counts)


class Earlier(NamedTuple):
    """The final outcome that a request had before it was asked again; taken: another run had bought it."""

    outcome: str
    taken: bool = False


class Unreadable(NamedTuple):
    """A line that is no result. record: the beginning of it."""

    file: str
    line: int
    record: bytes
    reason: str


SHOWN: Final = 500  # bytes of an unreadable line that are kept


class Reading:
    """One pass over a shard's result files. A request's outcome is its first line with the model's word, else its first
    final error, else its first line.

    judge: what makes an answer of a line. serves: how many requests a line answers, where it is not one. earlier: the
    final outcome that a request had before it was asked again. raw: each answer carries its line. looked_at: which
    records are read at all. numbers: the same by the number of their line; files that it leaves out are not read.
    Iterate once; `account`, `owed`, `kept`, `unreadable` and `odd_lines` are complete afterwards. Memory is bounded by
    the shard, never by the run.
    """

    def __init__(
        self,
        expected: Iterable[str],
        paths: Sequence[Path],
        judge: Callable[[bytes], Answer | None] = parse,
        *,
        serves: Mapping[str, int] | None = None,
        earlier: Mapping[str, Earlier] | None = None,
        raw: bool = False,
        looked_at: Callable[[bytes], bool] | None = None,
        numbers: Mapping[Path, Collection[int]] | None = None,
    ) -> None:
        self._open = dict.fromkeys(expected)  # in the shard's order; the outcome-less ones are left at the end
        self._paths, self._judge, self._raw = paths, judge, raw
        self._looked_at, self._numbers = looked_at, numbers
        self._odd: dict[str, list[int]] = {path.name: [] for path in paths}
        self.serves = serves or {}
        self._earlier = earlier or {}
        self._said: dict[str, int] = {}  # the model's word on a request, as a hash
        self._waiting: dict[str, Answer] = {}  # a paid answer may still follow
        self.account = Account()
        self.owed: dict[str, Outcome] = {}
        self.kept: set[str] = set()  # asked again in vain: the earlier outcome stands
        self.unreadable: list[Unreadable] = []

    def __iter__(self) -> Iterator[Answer]:
        for path in self._paths:
            for number, record in picked(path, None if self._numbers is None else self._numbers.get(path, ())):
                if self._looked_at is not None and not self._looked_at(record):
                    continue
                judged = self._judge(record)
                if judged is None:
                    self._lay_aside(path, number, record)
                    continue
                answer = self._take(judged._replace(raw=record) if self._raw else judged)
                if answer is None or not answer.plain:
                    self._odd[path.name].append(number)
                if answer is not None:
                    yield answer
        yield from self._settle()

    def odd_lines(self) -> Mapping[str, Sequence[int]] | None:
        """The numbers of the lines that cannot be read by the file, by its name; None where these are most."""
        return self._odd if self.account.plain > sum(map(len, self._odd.values())) else None

    def _lay_aside(self, path: Path, number: int, record: bytes) -> None:
        self.account.unreadable += 1
        self._odd[path.name].append(number)
        self.unreadable.append(Unreadable(path.name, number, record[:SHOWN], fault(record)))

    def _take(self, answer: Answer) -> Answer | None:
        """The answer if it is its request's outcome, whatever else comes."""
        if answer.custom_id in self._said:
            self.account.doubled += 1
            self.account.conflicting += not answer.owed and _word(answer) != self._said[answer.custom_id]
        elif answer.custom_id not in self._open:
            self.account.unknown += 1
        elif answer.owed or answer.outcome is Outcome.ERROR:
            self._hold(answer)
        else:
            self._settle_with(answer)
            return answer
        return None

    def _hold(self, answer: Answer) -> None:
        earlier = self._waiting.get(answer.custom_id)
        self.account.doubled += earlier is not None
        if earlier is None or (earlier.owed and not answer.owed):
            self._waiting[answer.custom_id] = answer

    def _settle_with(self, answer: Answer) -> None:
        earlier = self._waiting.pop(answer.custom_id, None)
        self.account.doubled += earlier is not None
        self.account.conflicting += earlier is not None and not earlier.owed
        self._count_final(answer)
        self.account.plain += answer.plain
        self._said[answer.custom_id] = _word(answer)
        del self._open[answer.custom_id]

    def _settle(self) -> Iterator[Answer]:
        """The lines of requests without the model's word, and the count of those that no line mentions."""
        for custom_id in self._open:
            answer = self._waiting.get(custom_id)
            if answer is not None and not answer.owed:
                self._count_final(answer)
                yield answer
                continue
            self._count_owed(custom_id, Outcome.MISSING if answer is None else answer.outcome)
            if answer is not None:
                self.account.out_of_money += answer.out_of_money
                yield answer

    def _count_final(self, answer: Answer) -> None:
        weight = self._weight(answer.custom_id)
        self.account.final[answer.outcome] += weight
        earlier = self._earlier.get(answer.custom_id)
        if earlier is not None:
            self.account.replaced[earlier.outcome] += weight
            self.account.retaken += weight * earlier.taken

    def _count_owed(self, custom_id: str, outcome: Outcome) -> None:
        if custom_id in self._earlier:
            self.kept.add(custom_id)
            self.account.kept[outcome] += self._weight(custom_id)
        else:
            self.owed[custom_id] = outcome
            self.account.owed[outcome] += self._weight(custom_id)

    def _weight(self, custom_id: str) -> int:
        """How many requests the line answers."""
        return self.serves.get(custom_id, 1)

    def run(self) -> Self:
        """Go through everything for the sake of the account."""
        for _ in self:
            pass
        return self


def _word(answer: Answer) -> int:
    return hash((answer.outcome, answer.content, answer.refusal))
