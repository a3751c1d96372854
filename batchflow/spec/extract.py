"""Columns out of a free answer (`answer.extract`): a regular expression, or a path into the answer's JSON.

A pattern is applied to what a model wrote, row after row, so it must come to an end: only the beginning of an answer is
searched, and a repetition within a repetition, which may take for ever, is refused.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from batchflow.identity import JsonNumber, json_bytes
from batchflow.spec.base import KEY, refuse

SEARCHED: Final = 100_000  # characters of an answer that a regular expression sees
_LONGEST: Final = 1_000  # characters of a pattern
_MANY: Final = 20  # repetitions from which on a repetition counts as unbounded
_STEP: Final = r"\.([^.\[\]\s\"']+)|\[(-?[0-9]{1,9})\]|\[\"([^\"]*)\"\]|\['([^']*)'\]"
_FENCE: Final = "```"

Steps = tuple[str | int, ...]


def is_path(pattern: str) -> bool:
    return pattern.startswith("$")


def check_pattern(pattern: str) -> str:
    """The pattern, if it can be used. Errors: PydanticCustomError."""
    if not pattern:
        raise refuse(f"{KEY} is empty", r'write a regular expression, e.g. "Score: (\\d+)", or a path, e.g. $.score')
    if len(pattern) > _LONGEST:
        raise refuse(f"{KEY} is longer than {_LONGEST:,} characters", "write a shorter pattern")
    if is_path(pattern):
        if path_steps(pattern) is None:
            remedy = 'write it like $.name, $.list[0].name or $["a name"]'
            raise refuse(f"{KEY}: this is no path into a JSON value", remedy)
        return pattern
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        remedy = "correct the regular expression (Python's `re`); for a path into JSON begin with $."
        raise refuse(f"{KEY}: this is no regular expression: {error}", remedy) from None
    if _may_take_for_ever(compiled.pattern):
        remedy = r"repeat single characters only: [a-z ]+ in place of ([a-z]+ ?)+"
        raise refuse(f"{KEY}: a repetition within a repetition may take for ever", remedy)
    return pattern


def path_steps(path: str) -> Steps | None:
    """The steps of `$.a.b[0]`; None if it is no such path."""
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        found = re.compile(_STEP).match(path, position)
        if found is None:
            return None
        name = next(part for part in found.groups() if part is not None)
        steps.append(name if found[2] is None else int(name))
        position = found.end()
    return tuple(steps)


def extractor(pattern: str) -> Callable[[str], str | None]:
    """What takes the value out of an answer's text; None where it does not match."""
    if is_path(pattern):
        steps = path_steps(pattern) or ()
        return lambda text: _at(_json_in(text), steps)
    compiled = re.compile(pattern)
    group = 1 if compiled.groups else 0

    def search(text: str) -> str | None:
        found = compiled.search(text[:SEARCHED])
        return None if found is None else found[group]

    return search


def _json_in(text: str) -> Any:
    """The JSON that an answer is, or that stands in its first fenced block; None where there is none."""
    for candidate in (text, text.partition(_FENCE)[2].partition("\n")[2].partition(_FENCE)[0]):
        try:
            return json.loads(candidate, parse_int=JsonNumber, parse_float=JsonNumber)
        except (ValueError, RecursionError):
            continue
    return None


def _at(value: Any, steps: Steps) -> str | None:
    for step in steps:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    if value is None or isinstance(value, str):
        return value
    try:
        return json_bytes(value).decode()
    except ValueError:  # NaN and its kin, which only lenient writers take for JSON
        return None


def _may_take_for_ever(pattern: str) -> bool:
    """Whether something that repeats without bound repeats as a whole without bound, or has alternatives."""
    from re import _parser as parser  # type: ignore[attr-defined]  # noqa: PLC0415 - the parser that `re` itself uses

    def visit(items: Any, *, repeated: bool) -> bool:
        return any(visit_one(str(name), argument, repeated=repeated) for name, argument in items)

    def visit_one(name: str, argument: Any, *, repeated: bool) -> bool:
        if name == "POSSESSIVE_REPEAT":
            return visit(argument[2], repeated=False)
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            many = argument[1] >= _MANY
            return (many and repeated) or visit(argument[2], repeated=repeated or many)
        if name == "BRANCH":
            return repeated or any(visit(branch, repeated=repeated) for branch in argument[1])
        if name == "ATOMIC_GROUP":
            return visit(argument, repeated=False)
        return any(visit(part, repeated=repeated) for part in _parts(argument, parser.SubPattern))

    return visit(parser.parse(pattern), repeated=False)


def _parts(argument: Any, kind: type) -> list[Any]:
    """The patterns inside a group or an assertion."""
    members = argument if isinstance(argument, tuple | list) else (argument,)
    return [member for member in members if isinstance(member, kind)]
