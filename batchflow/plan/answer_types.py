"""The columns of typed answers: from a JSON Schema to types that hold every value that fits it; what a run keeps of
both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias
from urllib.parse import unquote

from batchflow.sources.database import identifier

# the name of a type; a list of the kind of its members; an object, the kind of each field by name
Kind: TypeAlias = "str | list[Kind] | dict[str, Kind]"

TEXT: Final = "VARCHAR"
INTEGER: Final = "BIGINT"
NUMBER: Final = "DOUBLE"
BOOLEAN: Final = "BOOLEAN"
JSON: Final = "JSON"  # any value, as its JSON text
ANSWER_KEYS: Final = ("custom_id", "round", "batch_id")  # the other columns of a run's table of answers
_SIMPLE: Final[Mapping[str, Kind]] = {"string": TEXT, "integer": INTEGER, "number": NUMBER, "boolean": BOOLEAN}
MOST_PARTS: Final = 1_000  # of all types together: DuckDB needs memory for each when it loads


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """A typed column: the field's name, its name in the run's table of answers, in `results`; and its kind."""

    name: str
    stored: str
    results: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """What the answers of a run are judged and typed by, as the manifest keeps it. schema: JSON text, as it is sent, or
    empty; extract: patterns by name.
    """

    columns: tuple[AnswerColumn, ...]
    schema: str = ""
    extract: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        columns = tuple(AnswerColumn(**column) for column in value["columns"])
        return cls(**{**value, "columns": columns})


def duckdb_type(kind: Kind) -> str:
    """The type as DuckDB writes it."""
    if isinstance(kind, str):
        return kind
    if isinstance(kind, list):
        return f"{duckdb_type(kind[0])}[]"
    return f"STRUCT({', '.join(f'{identifier(name)} {duckdb_type(member)}' for name, member in kind.items())})"


def field_kinds(schema: Mapping[str, Any]) -> dict[str, Kind]:
    """The kind of each field of the object that a schema describes; none where it describes no object."""
    types = _Types(schema)
    found, refs = types.resolved(schema, frozenset())
    if found is None or found.get("type") != "object":
        return {}
    return {name: types.kind(member, refs) for name, member in found.get("properties", {}).items()}


class _Types:
    """The kinds of the schemas in one document. What refers to itself, and what is too large for a type, is JSON."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._made = 0

    def kind(self, schema: Any, refs: frozenset[str] = frozenset()) -> Kind:
        """The kind of all values but null, which fits every kind. refs: the references that led here."""
        self._made += 1
        found, refs = self.resolved(schema, refs)
        if found is None or self._made > MOST_PARTS:
            return JSON
        if "anyOf" in found and "type" not in found:
            return _common([self.kind(each, refs) for each in found["anyOf"] if not _is_null(each)])
        types = [name for name in _listed(found.get("type", [])) if name != "null"]
        if not types:
            choices = found.get("enum", [found["const"]] if "const" in found else [])
            return _common([_kind_of(choice) for choice in choices if choice is not None])
        if types == ["array"]:
            return JSON if "prefixItems" in found or "items" not in found else [self.kind(found["items"], refs)]
        if types == ["object"]:
            return self._struct(found, refs)
        return _common([_SIMPLE.get(name, JSON) for name in types])

    def resolved(self, schema: Any, refs: frozenset[str]) -> tuple[Mapping[str, Any] | None, frozenset[str]]:
        """The schema itself, or what its `$ref` names, with the references that led there; None if there is none."""
        while isinstance(schema, Mapping) and "$ref" in schema:
            reference = str(schema["$ref"])
            if reference in refs:
                return None, refs
            schema, refs = self._named(reference), refs | {reference}
        return (schema if isinstance(schema, Mapping) else None), refs

    def _named(self, reference: str) -> Any:
        found: Any = self._root if reference.startswith("#") else None
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def _struct(self, schema: Mapping[str, Any], refs: frozenset[str]) -> Kind:
        """An object as columns within a column, where its fields are known and can be told apart."""
        fields = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        if not fields or not closed or len({name.lower() for name in fields}) < len(fields) or "" in fields:
            return JSON
        return {name: self.kind(member, refs) for name, member in fields.items()}


def _listed(types: Any) -> Sequence[Any]:
    return types if isinstance(types, list) else [types]


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and (schema.get("type") == "null" or schema.get("const", "") is None)


def _kind_of(value: Any) -> Kind:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, str):
        return TEXT
    if isinstance(value, int):
        return INTEGER
    return NUMBER if isinstance(value, float) else JSON


def _common(kinds: Sequence[Kind]) -> Kind:
    """The kind that holds values of all of these."""
    if kinds and all(kind == kinds[0] for kind in kinds):
        return kinds[0]
    if kinds and all(kind in (INTEGER, NUMBER) for kind in kinds):
        return NUMBER
    return JSON
