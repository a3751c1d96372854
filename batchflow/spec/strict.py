"""What strict mode of structured outputs allows in a JSON Schema, and what to write instead.

By OpenAI's description of the supported schemas. A schema that keeps to less costs every row: the service refuses each
request by itself, after the batch was accepted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from batchflow.identity import json_bytes

Path = tuple[str | int, ...]

MOST_PROPERTIES: Final = 5_000
MOST_LEVELS: Final = 10
MOST_CHARACTERS: Final = 120_000  # of names, choices and constants together
MOST_CHOICES: Final = 1_000  # of the whole schema
MANY_CHOICES: Final = 250  # of one field; from there on they must be short
MOST_CHOSEN_CHARACTERS: Final = 15_000
FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_MAPS: Final = ("properties", "$defs", "definitions")
_KNOWN: Final = frozenset({
    *_MAPS, "$schema", "$id", "$comment", "$ref", "title", "description", "type", "required", "additionalProperties",
    "items", "anyOf", "enum", "const", "pattern", "format", "minLength", "maxLength", "multipleOf", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
})  # fmt: skip
_INSTEAD: Final = {
    "oneOf": "write anyOf",
    "allOf": "write the members of its schemas into this one",
    "default": "remove it; the model writes every field",
    "nullable": 'remove it and write "type": ["string", "null"] (with the type of the field)',
    "optional": 'remove it; write "type": ["string", "null"] (with the type of the field), and name it in required',
    "prefixItems": "write an object with a field for each member",
    "patternProperties": 'write a list of objects {"name": …, "value": …}',
    "examples": "write them into description",
}
_SAYS_WHAT: Final = ("type", "anyOf", "$ref", "enum", "const")
_NOT_STRICT: Final = "or write `strict: false` under `answer`"


class Problem(NamedTuple):
    """What strict mode does not allow at a place of the schema."""

    path: Path
    cause: str
    remedy: str


def strict_problems(schema: Mapping[str, Any]) -> list[Problem]:
    """Everything that strict mode would refuse; the schema is well-formed otherwise."""
    return [*_root(schema), *_visit(schema, ()), *_sizes(schema)]


def _root(schema: Mapping[str, Any]) -> Iterator[Problem]:
    if "anyOf" in schema:
        yield Problem(("anyOf",), "the answer itself cannot be anyOf", _wrapped("anyOf"))
    elif schema.get("type") != "object":
        yield Problem((), 'the answer itself must be an object: "type": "object"', _wrapped("what stands here"))


def _wrapped(what: str) -> str:
    return (
        f'put {what} into a field: {{"type": "object", "properties": {{"answer": {{…}}}}, "required": ["answer"], '
        '"additionalProperties": false}'
    )


def _visit(schema: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(schema, Mapping):
        yield Problem(path, "strict mode knows no schema that is true or false", f"write a type; {_NOT_STRICT}")
        return
    yield from _keywords(schema, path)
    if "properties" in schema or "object" in types_of(schema):
        yield from _object(schema, path)
    if "array" in types_of(schema) and "items" not in schema:
        yield Problem(path, "a list must say what it holds", 'add "items": {"type": "string"} (with the right type)')
    for place, child in children(schema):
        yield from _visit(child, (*path, *place))


def _keywords(schema: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    for name in schema:
        if name not in _KNOWN:
            remedy = _INSTEAD.get(name, "remove it, and say it in description")
            yield Problem((*path, name), f"strict mode does not allow `{name}`", f"{remedy}; {_NOT_STRICT}")
    if not any(name in schema for name in _SAYS_WHAT) and _KNOWN.issuperset(schema):
        yield Problem(path, "this schema has no type", 'add "type": "string" (or another one)')
    if "$ref" in schema and len(schema) > 1:
        beside = ", ".join(f"`{name}`" for name in schema if name != "$ref")
        cause = f"strict mode allows nothing beside `$ref`, but {beside}" if path else "the answer cannot be a `$ref`"
        yield Problem((*path, "$ref"), cause.replace(", but", "; here stands also"), "move it to what `$ref` names")
    if schema.get("format", FORMATS[0]) not in FORMATS:
        cause = f"strict mode does not know the format `{schema['format']}`"
        yield Problem((*path, "format"), cause, f"remove it, or write one of {', '.join(FORMATS)}")


def _object(schema: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    if schema.get("additionalProperties") is not False:
        place = (*path, "additionalProperties") if "additionalProperties" in schema else path
        yield Problem(place, "an object must allow no other fields", 'write "additionalProperties": false')
    names, required = list(schema.get("properties", {})), schema.get("required", [])
    absent = [name for name in names if name not in required]
    if absent:
        place = (*path, "required") if "required" in schema else path
        cause = f"every field must be required; not so {', '.join(repr(name) for name in absent[:5])}"
        remedy = f'write "required": {_shown(names)}; for a field without a value: "type": ["string", "null"]'
        yield Problem(place, cause, remedy)
    if extra := [name for name in required if name not in names]:
        remedy = f'write "required": {_shown(names)}'
        yield Problem((*path, "required"), f"{extra[0]!r} is required, but no field", remedy)


def _shown(names: Sequence[str]) -> str:
    return json_bytes(names).decode().replace('","', '", "')


def types_of(schema: Mapping[str, Any]) -> list[Any]:
    """The types that a schema names."""
    types = schema.get("type", [])
    return types if isinstance(types, list) else [types]


def children(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The schemas inside a schema, by the keywords that strict mode allows, with their places."""
    for kind in _MAPS:
        for name, child in schema.get(kind, {}).items():
            yield (kind, name), child
    if "items" in schema:
        yield ("items",), schema["items"]
    for position, child in enumerate(schema.get("anyOf", ())):
        yield ("anyOf", position), child


def _sizes(schema: Mapping[str, Any]) -> Iterator[Problem]:
    counts: Counter[str] = Counter()
    for path, part, level in _all(schema, (), 0):
        choices = part.get("enum", [])
        texts = [text for text in choices if isinstance(text, str)]
        constant = [part["const"]] if isinstance(part.get("const"), str) else []
        names = [name for kind in _MAPS for name in part.get(kind, {})]
        counts["properties"] += len(part.get("properties", {}))
        counts["choices"] += len(choices)
        counts["characters"] += sum(len(text) for text in (*texts, *constant, *names))
        if level == MOST_LEVELS + 1 and "properties" in part:
            yield Problem(path, f"objects are nested more than {MOST_LEVELS} levels deep", "flatten the answer")
        if len(texts) > MANY_CHOICES and sum(map(len, texts)) > MOST_CHOSEN_CHARACTERS:
            cause = f"more than {MANY_CHOICES} choices may have {MOST_CHOSEN_CHARACTERS:,} characters together"
            yield Problem((*path, "enum"), cause, "shorten them, or let the model choose a code")
    most = {"properties": MOST_PROPERTIES, "choices": MOST_CHOICES, "characters": MOST_CHARACTERS}
    for what, limit in most.items():
        if counts[what] > limit:
            cause = f"the schema has {counts[what]:,} {_WORDS[what]}; strict mode allows {limit:,}"
            yield Problem((), cause, f"ask for less, or in several studies; {_NOT_STRICT}")


_WORDS: Final = {
    "properties": "fields",
    "choices": "choices",
    "characters": "characters in names and choices",
}


def _all(schema: Any, path: Path, level: int) -> Iterator[tuple[Path, Mapping[str, Any], int]]:
    """Every schema inside, with its place and in how many objects it lies, its own included."""
    if not isinstance(schema, Mapping):
        return
    level += "properties" in schema
    yield path, schema, level
    for place, child in children(schema):
        yield from _all(child, (*path, *place), level)
