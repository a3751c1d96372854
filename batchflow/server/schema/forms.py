"""A JSON Schema read with distrust: every keyword has its form, every reference stays inside the schema."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

Schema = dict[str, Any] | bool

TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")

_DEEPEST: Final = 100
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SINGLES: Final = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_BEYOND: Final = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")


class SchemaRefused(Exception):
    """No instance can be made: the schema is malformed, beyond the vocabulary, or cannot be satisfied."""


def is_number(value: Any) -> bool:
    """Whether it is a number that a floating point number can stand for."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _is_count(value: Any) -> bool:
    return is_number(value) and value >= 0 and value == int(value)


def _is_type(value: Any) -> bool:
    named = value if isinstance(value, list) else [value]
    return bool(named) and all(isinstance(name, str) and name in TYPES for name in named)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, OverflowError, RecursionError):
        return False


_FORMS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "type": (_is_type, f"one of {', '.join(TYPES)}, or a list of them"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "a list of values"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (is_number, "a number")),
    "multipleOf": (lambda value: is_number(value) and value > 0, "a number above 0"),
    **dict.fromkeys(
        (
            *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
            *("minContains", "maxContains"),
        ),
        (_is_count, "a whole number, 0 or more"),
    ),
    "pattern": (_is_pattern, "a regular expression that can be read here"),
    "format": (lambda value: isinstance(value, str), "text"),
    "required": (_is_texts, "a list of names"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "$ref": (lambda value: isinstance(value, str), "text"),
    "dependentRequired": (
        lambda value: isinstance(value, dict) and all(_is_texts(names) for names in value.values()),
        "lists of names",
    ),
    **dict.fromkeys(_LISTS, (lambda value: isinstance(value, list) and bool(value), "a list of schemas")),
    **dict.fromkeys(_MAPS, (lambda value: isinstance(value, dict), "an object of schemas")),
    "patternProperties": (
        lambda value: isinstance(value, dict) and all(_is_pattern(pattern) for pattern in value),
        "an object whose keys are regular expressions that can be read here",
    ),
}


class Document:
    """A whole schema whose forms were checked; finds what references point at."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._targets: dict[str, Schema] = {}
        self._seen: dict[int, dict[str, Any]] = {}
        self._check(root, "#", 0)
        self._refuse_loops()

    def target(self, reference: str) -> Schema:
        """What a `$ref` points at, checked like the rest."""
        if reference not in self._targets:
            found = self._find(reference)
            self._targets[reference] = found
            self._check(found, reference, 0)
        return self._targets[reference]

    def _refuse_loops(self) -> None:
        """A schema that holds a value against itself, without a step into the value, would never come to an end."""
        ended: set[int] = set()

        def visit(schema: Schema, above: frozenset[int]) -> None:
            if isinstance(schema, bool) or id(schema) in ended:
                return
            if id(schema) in above:
                raise SchemaRefused("it refers to itself without end")
            for other in self._at_the_same_place(schema):
                visit(other, above | {id(schema)})
            ended.add(id(schema))

        for schema in list(self._seen.values()):
            visit(schema, frozenset())

    def _at_the_same_place(self, schema: Mapping[str, Any]) -> Iterator[Schema]:
        """The schemas that speak about the same value as this one."""
        if "$ref" in schema:
            yield self.target(schema["$ref"])
        for name in ("allOf", "anyOf", "oneOf"):
            yield from schema.get(name, ())
        for name in ("not", "if", "then", "else"):
            if name in schema:
                yield schema[name]
        yield from schema.get("dependentSchemas", {}).values()

    def _find(self, reference: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise SchemaRefused(f"'$ref': '{reference}' does not point into the schema itself ('#/...')")
        found: Any = self.root
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise SchemaRefused(f"'$ref': '{reference}' points at nothing")
        return found

    def _check(self, schema: Any, place: str, depth: int) -> None:
        if isinstance(schema, bool) or id(schema) in self._seen:
            return
        if not isinstance(schema, dict):
            raise SchemaRefused(f"{place} is not a schema")
        if depth > _DEEPEST:
            raise SchemaRefused(f"it is nested more than {_DEEPEST} levels deep")
        self._seen[id(schema)] = schema
        _check_keywords(schema, place)
        for name, child in _children(schema):
            self._check(child, f"{place}/{name}", depth + 1)
        if "$ref" in schema:
            self.target(schema["$ref"])


def _check_keywords(schema: Mapping[str, Any], place: str) -> None:
    for name in _BEYOND:
        if name in schema:
            raise SchemaRefused(f"{place} uses '{name}', which the local simulator does not know")
    if "$id" in schema and place != "#":
        raise SchemaRefused(f"{place} has an '$id' of its own, which the local simulator does not know")
    for name, (fits, expected) in _FORMS.items():
        if name in schema and not fits(schema[name]):
            raise SchemaRefused(f"'{name}' at {place} must be {expected}")


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _SINGLES:
        if name in schema:
            yield name, schema[name]
    for name in _LISTS:
        for position, child in enumerate(schema.get(name, ())):
            yield f"{name}/{position}", child
    for name in _MAPS:
        for key, child in schema.get(name, {}).items():
            yield f"{name}/{key}", child


@lru_cache(maxsize=64)
def document(text: str) -> Document:
    """The schema that stands in this JSON text; SchemaRefused where it cannot be read. Rows share their schema."""
    try:
        return Document(json.loads(text))
    except RecursionError as error:
        raise SchemaRefused("it is nested too deeply") from error
