"""The account of a shard (law 3): every request has exactly one outcome, whatever the provider's files hold."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from batchflow.results.lines import parse, records
from batchflow.results.outcome import Answer, Outcome


@dataclass(slots=True)
class Account:
    """Requests by outcome, final and owed (together they are all requests), and lines that are nobody's outcome."""

    final: Counter[str] = field(default_factory=Counter)
    owed: Counter[str] = field(default_factory=Counter)
    doubled: int = 0  # further lines of a request that has its outcome
    unknown: int = 0  # lines of a custom_id that was not in the shard
    unreadable: int = 0  # lines that are no result at all
    out_of_money: int = 0  # rows that failed because the account ran dry

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

    def follow_with(self, later: Self) -> None:
        """Take in a later round: it asked again exactly what was owed."""
        self.owed = Counter(later.owed)
        self._add_settled(later)

    def _add_settled(self, other: Self) -> None:
        self.final.update(other.final)
        self.doubled += other.doubled
        self.unknown += other.unknown
        self.unreadable += other.unreadable
        self.out_of_money += other.out_of_money

    def to_json(self) -> dict[str, Any]:
        return {
            "final": dict(sorted(self.final.items())),
            "owed": dict(sorted(self.owed.items())),
            "doubled": self.doubled,
            "unknown": self.unknown,
            "unreadable": self.unreadable,
            "out_of_money": self.out_of_money,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        counts = {name: value[name] for name in ("doubled", "unknown", "unreadable", "out_of_money")}
        return cls(final=Counter(value["final"]), owed=Counter(value["owed"]), **counts)


class Reading:
    """One pass over a shard's result files. The first final line of a request is its outcome, else its first line.

    Iterate once; `account` and `owed` are complete afterwards. Memory is bounded by the shard, never by the run.
    """

    def __init__(self, expected: Iterable[str], paths: Sequence[Path]) -> None:
        self._open = dict.fromkeys(expected)  # in the shard's order; the outcome-less ones are left at the end
        self._paths = paths
        self._final: set[str] = set()
        self._waiting: dict[str, Answer] = {}
        self.account = Account()
        self.owed: dict[str, Outcome] = {}

    def __iter__(self) -> Iterator[Answer]:
        for path in self._paths:
            for _, record in records(path):
                answer = self._take(parse(record))
                if answer is not None:
                    yield answer
        yield from self._settle()

    def _take(self, answer: Answer | None) -> Answer | None:
        """The answer if it is its request's final outcome."""
        if answer is None:
            self.account.unreadable += 1
        elif answer.custom_id in self._final:
            self.account.doubled += 1
        elif answer.custom_id not in self._open:
            self.account.unknown += 1
        elif answer.owed:
            if answer.custom_id in self._waiting:
                self.account.doubled += 1
            else:
                self._waiting[answer.custom_id] = answer
        else:
            self.account.doubled += self._waiting.pop(answer.custom_id, None) is not None
            self._final.add(answer.custom_id)
            del self._open[answer.custom_id]
            self.account.final[answer.outcome] += 1
            return answer
        return None

    def _settle(self) -> Iterator[Answer]:
        """The lines of requests that stay owed, and the count of those that no line mentions."""
        for custom_id in self._open:
            answer = self._waiting.get(custom_id)
            outcome = Outcome.MISSING if answer is None else answer.outcome
            self.owed[custom_id] = outcome
            self.account.owed[outcome] += 1
            if answer is not None:
                self.account.out_of_money += answer.out_of_money
                yield answer

    def run(self) -> Self:
        """Go through everything for the sake of the account."""
        for _ in self:
            pass
        return self
