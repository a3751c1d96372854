"""The faults that a server is told to commit: rules read from a file, and when each strikes.

Call faults strike at the nth call of a route, batch faults at the nth batch, row faults at rows of a batch; ordinals
count from 1 since the store was created, so a restart goes on counting. Chance is drawn from the seed: it repeats.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from batchflow.errors import Fault, InvalidInput, SetupError
from batchflow.server.fault_kinds import KINDS, Argument
from batchflow.server.fault_text import parse, parse_short

OWN_FAULTS: Final = "batchflow_faults"  # the key of a batch's metadata that holds its own
_ROOT: Final = "a list of rules, or a mapping with the key `faults` that holds it"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the faults file. Every selector that is given must agree; none given = always."""

    index: int
    kind: str
    events: frozenset[str]
    nth: frozenset[int]
    rows: frozenset[int]
    every: int
    probability: float | None
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def list_of(self, name: str) -> list[Any]:
        """An argument that may be one value or a list."""
        value = self.arguments[name]
        return value if isinstance(value, list) else [value]

    def strikes(self, seed: int, ordinal: int, salt: str = "") -> bool:
        """Whether it strikes the thing of this ordinal (a call, a batch, or a row within `salt`)."""
        if self.every and ordinal % self.every:
            return False
        if self.probability is None:
            return True
        drawn = sha256(f"{seed}/{self.index}/{salt}/{ordinal}".encode()).digest()[:8]
        return int.from_bytes(drawn) < self.probability * 2**64


class Faults:
    """All rules of a server; the empty list commits none."""

    def __init__(self, rules: list[Rule], seed: int) -> None:
        self._rules = rules
        self._seed = seed
        self._own: dict[int, list[Rule]] = {}

    def adopt(self, number: int, rules: list[Rule]) -> None:
        """Rules that came with one batch and strike it alone."""
        if rules:
            self._own[number] = rules

    def _of_batch(self, number: int) -> list[Rule]:
        return [rule for rule in self._rules if not rule.nth or number in rule.nth] + self._own.get(number, [])

    def on_call(self, event: str, ordinal: int) -> Iterator[Rule]:
        """The rules that strike the call of this ordinal among the calls of its route."""
        for rule in self._rules:
            if event in rule.events and (not rule.nth or ordinal in rule.nth) and rule.strikes(self._seed, ordinal):
                yield rule

    def on_batch(self, kind: str, number: int) -> Iterator[Rule]:
        """The rules of this kind that strike the batch of this ordinal."""
        for rule in self._of_batch(number):
            if rule.kind == kind and rule.strikes(self._seed, number):
                yield rule

    def any_of(self, kind: str) -> bool:
        """Whether there is any rule of this kind."""
        return any(rule.kind == kind for rule in self._every_rule())

    def _every_rule(self) -> Iterator[Rule]:
        yield from self._rules
        for rules in self._own.values():
            yield from rules

    def for_rows(self, number: int) -> list[Rule]:
        """The row rules that concern the batch of this ordinal; ask `row_strikes` for each row."""
        return [rule for rule in self._of_batch(number) if KINDS[rule.kind].scope == "row"]

    def row_strikes(self, rule: Rule, number: int, ordinal: int) -> bool:
        return (not rule.rows or ordinal in rule.rows) and rule.strikes(self._seed, ordinal, salt=str(number))

    @property
    def longest_lag(self) -> float:
        """The most seconds that any batch stays out of lists."""
        return max((float(rule["seconds"]) for rule in self._every_rule() if rule.kind == "list_lag"), default=0.0)


def load_faults(path: Path | None, seed: int) -> Faults:
    """Read a faults file (YAML or JSON). Raises SetupError or InvalidInput, which names every wrong rule."""
    if path is None:
        return Faults([], seed)
    try:
        document, places = parse(path)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read: {error.strerror}", hint="name an existing file with --faults"
        ) from error
    if isinstance(document, dict) and set(document) == {"faults"}:
        document = document["faults"]
    if document is None:
        document = []
    if not isinstance(document, list):
        raise InvalidInput([Fault(str(path), "this is not a list of faults", f"write {_ROOT}")])
    rules: list[Rule] = []
    wrong: list[Fault] = []
    for index, written in enumerate(document):
        complaints = list(_complaints(written))
        for name, cause, remedy in complaints:
            line, column = places.get((index, name)) or places.get((index, "")) or (None, None)
            wrong.append(Fault(str(path), f"rule {index + 1}: {cause}", remedy, line, column))
        if not complaints:
            rules.append(_rule(index, written))
    if wrong:
        raise InvalidInput(wrong)
    return Faults(rules, seed)


def _near(word: Any, known: list[str]) -> str:
    close = get_close_matches(str(word), known, n=1)
    return f"did you mean `{close[0]}`? " if close else ""


def _complaints(written: Any) -> Iterator[tuple[str, str, str]]:
    """(key, cause, remedy) of everything wrong with one rule; the key is empty where it is the rule as a whole."""
    if not isinstance(written, dict) or "fault" not in written:
        yield (
            "",
            "a rule is a mapping with the key `fault`",
            "write for example `- {fault: lost_reply, on: batches.create, nth: 1}`",
        )
        return
    kind = KINDS.get(written["fault"]) if isinstance(written["fault"], str) else None
    if kind is None:
        yield (
            "fault",
            f"there is no fault {written['fault']!r}",
            _near(written["fault"], list(KINDS)) + "known are: " + ", ".join(KINDS),
        )
        return
    known: dict[str, Argument] = {**kind.selectors, **kind.arguments}
    for name, value in written.items():
        if name == "fault":
            continue
        if name not in known:
            known_are = _near(name, list(known)) + "known are: " + ", ".join(known)
            yield str(name), f"{written['fault']} knows no `{name}`", known_are
        elif not known[name].accepts(value):
            yield str(name), f"`{name}` of {written['fault']} cannot be {value!r}", f"give {known[name].said}"
    for name, argument in kind.arguments.items():
        if argument.required and name not in written:
            yield "", f"{written['fault']} needs `{name}`", f"give {argument.said}"
    if written["fault"] == "token_limit" and not {"tokens", "batches"} & set(written):
        yield (
            "",
            "token_limit needs `tokens` or `batches`",
            "give the number of tokens or of unfinished batches that the queue holds",
        )


def faults_of_batch(text: str) -> list[Rule]:
    """The rules that a batch brings along in its metadata: JSON, or `name key=value; name`. ValueError says what is
    wrong with them.
    """
    rules = []
    for index, written in enumerate(parse_short(text)):
        complaints = [f"{cause} ({remedy})" for _, cause, remedy in _complaints(written)]
        if not complaints and KINDS[written["fault"]].scope == "call":
            complaints = [f"{written['fault']} strikes calls, not batches (give it to the server with --faults)"]
        complaints += [
            f"`{name}` does not belong here (it is about this batch alone)"
            for name in ("batch", "nth")
            if not complaints and name in written
        ]
        if complaints:
            raise ValueError(f"rule {index + 1}: " + "; ".join(complaints))
        rules.append(_rule(-1 - index, written))  # its own dice
    return rules


def _set(value: Any) -> frozenset[int]:
    return frozenset() if value is None else frozenset([value] if isinstance(value, int) else value)


def _rule(index: int, written: dict[str, Any]) -> Rule:
    kind = KINDS[written["fault"]]
    arguments = {name: written.get(name, argument.default) for name, argument in kind.arguments.items()}
    on = arguments.pop("on", kind.event)
    return Rule(
        index=index,
        kind=written["fault"],
        events=frozenset([on] if isinstance(on, str) else on) - {""},
        nth=_set(written.get("nth")) | _set(written.get("batch")),
        rows=_set(written.get("rows")),
        every=written.get("every", 0),
        probability=written.get("probability"),
        arguments=arguments,
    )
