"""An answer's text held against what the study wants of it: typed values, or why it is invalid. No text, however odd,
costs the row: what cannot be read or kept is `invalid` with its place and reason.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from math import isfinite
from typing import Any, Final, NoReturn

from batchflow.identity import json_bytes, json_text
from batchflow.plan.answer_types import BOOLEAN, INTEGER, JSON, NUMBER, TEXT, AnswerPlan, Kind
from batchflow.plan.validator import validator
from batchflow.results.outcome import Answer, Outcome
from batchflow.results.reading import members, short
from batchflow.spec.extract import extractor

INVALID_JSON: Final = "invalid_json"  # error codes
INVALID_ANSWER: Final = "invalid_answer"
_LARGEST: Final = 2**63
_EXACT: Final = 10**15  # exact in every kind of number
_PLAIN_TYPES: Final = {TEXT: str, NUMBER: float, BOOLEAN: bool}
_DEEPEST: Final = 200  # levels; deeper ones are no answers
_DIGITS: Final = 400  # of a whole number: more than any that fits a number of 64 bits
_SURROGATE: Final = re.compile("\\\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_SHOWN: Final = 3  # reasons

Path = tuple[str | int, ...]


def typed(plan: AnswerPlan) -> Callable[[Answer], Answer]:
    """What makes typed values of the answers of a run."""
    return _by_schema(plan) if plan.schema else _by_patterns(plan)


def _by_patterns(plan: AnswerPlan) -> Callable[[Answer], Answer]:
    extractors = [extractor(plan.extract[column.name]) for column in plan.columns]

    def extracted(answer: Answer) -> Answer:
        text = answer.content or ""
        return answer._replace(typed=tuple(each(text) for each in extractors), plain=False)

    return extracted


def _by_schema(plan: AnswerPlan) -> Callable[[Answer], Answer]:
    judge = validator(json.loads(plan.schema))
    columns = [(column.name, column.kind) for column in plan.columns]

    def judged(answer: Answer) -> Answer:
        try:
            value = _read(answer.content or "")
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            return _invalid(answer, INVALID_JSON, f"$: this is no JSON: {reason}")
        if not judge.is_valid(value):
            reasons = islice(judge.iter_errors(value), _SHOWN)
            said = [f"{_words(tuple(error.instance_path))}: {short(error.message)}" for error in reasons]
            return _invalid(answer, INVALID_ANSWER, "; ".join(said))
        try:
            values = tuple(_kept(value.get(name), kind, (name,)) for name, kind in columns)
        except _TooLarge as error:
            return _invalid(answer, INVALID_ANSWER, f"{_words(error.path)}: {error}")
        plain = answer.plain and all(_is_plain(value.get(name), kind) for name, kind in columns)
        # half a pair, wherever it stands: DuckDB reads nothing of such a text
        return answer._replace(typed=values, plain=plain and _SURROGATE.search(answer.content or "") is None)

    return judged


def _invalid(answer: Answer, code: str, message: str) -> Answer:
    message = message.encode("utf-8", "backslashreplace").decode()
    return answer._replace(outcome=Outcome.INVALID, error_code=code, error_message=message, plain=False)


def _read(text: str) -> Any:
    """The value of a JSON text as written. Errors: ValueError, RecursionError; also where readers would disagree about
    it (a name that stands twice), or could not say what it is (a number beyond all).
    """
    value = json.loads(
        text, object_pairs_hook=members, parse_constant=_no_number, parse_float=_number, parse_int=_integer
    )
    if _depth(value) > _DEEPEST:
        raise RecursionError
    return _storable(value) if _SURROGATE.search(text) else value


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {short(text)} is beyond what readers take")
    return number


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"the number {short(text)} is beyond what readers take")
    return int(text)


def _depth(value: Any) -> int:
    """How many levels a value has, by breadth: it may be deeper than functions can call themselves."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [member for each in level if isinstance(each, list | dict) for member in _inside(each)]
    return depth


def _inside(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value)


class _TooLarge(ValueError):
    """A number that fits the schema, but no column. path: its place in the answer."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(what)
        self.path = path


def _kept(value: Any, kind: Kind, path: Path) -> Any:
    """The value as a column of this kind holds it. Errors: _TooLarge."""
    if value is None:
        return None
    if isinstance(kind, list):
        return [_kept(member, kind[0], (*path, position)) for position, member in enumerate(value)]
    if isinstance(kind, dict):
        return {name: _kept(value.get(name), member, (*path, name)) for name, member in kind.items()}
    if kind in (INTEGER, NUMBER):
        return _as_number(value, kind, path)
    if kind == BOOLEAN:
        return bool(value)
    return json_bytes(value).decode() if kind == JSON else value


def _is_plain(value: Any, kind: Kind) -> bool:
    """Whether whatever reads the value finds the same in it."""
    if value is None:
        return kind != JSON
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is_plain(member, kind[0]) for member in value)
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(_is_plain(value.get(name), member) for name, member in kind.items())
    if type(value) is int:
        return kind in {INTEGER, NUMBER} and abs(value) < _EXACT
    return type(value) is _PLAIN_TYPES.get(kind)


def _as_number(value: Any, kind: Kind, path: Path) -> float:
    if kind == INTEGER:
        if abs(value) >= _LARGEST:
            raise _TooLarge(f"{short(str(value))} is more than a column of whole numbers holds (64 bits)", path)
        return int(value)
    try:
        return float(value)
    except OverflowError:
        raise _TooLarge(f"{short(str(value))} is more than a column of numbers holds", path) from None


def _storable(value: Any) -> Any:
    """Texts as a database can hold them: half a surrogate pair stays readable as its escape."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_storable(member) for member in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(member) for name, member in value.items()}
    return value


def _words(path: Path) -> str:
    """`$.list[0].name`, as people write paths."""
    said = "$"
    for step in path:
        if isinstance(step, int):
            said += f"[{step}]"
        else:
            said += f".{step}" if step.isidentifier() else f"[{json_text(step)}]"
    return said
