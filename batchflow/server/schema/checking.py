"""Whether a value is an instance of a schema: the judge of everything the simulator makes of one.

Where the standard leaves room (`format`, decimal multiples) it takes the stricter reading.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from batchflow.server.schema.effort import Effort
from batchflow.server.schema.formats import has_format
from batchflow.server.schema.forms import Document, Schema, SchemaRefused, is_number
from batchflow.server.schema.searching import found

_DEEPEST: Final = 300


def identity(value: Any) -> Any:
    """Equal exactly where JSON values are: 1 is 1.0, but not true; hashable."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, list):
        return ("array", tuple(identity(item) for item in value))
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(member)) for name, member in value.items()))
    return value


_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and value == int(value),
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def is_multiple(value: float, step: float) -> bool:
    """By the decimals as written and by the floating point numbers, whichever a reader goes by."""
    try:
        exact = Decimal(repr(value)) % Decimal(repr(step)) == 0
        quotient = value / step
        return exact and quotient == int(quotient)
    except (ArithmeticError, ValueError):
        return False


class Judge:
    """Checks values against schemas of one document."""

    def __init__(self, document: Document, effort: Effort | None = None) -> None:
        self._document = document
        self.effort = effort or Effort()

    def fits(self, value: Any, schema: Schema, depth: int = 0) -> bool:
        """Whether the value is an instance; SchemaRefused where the schema refers to itself without end."""
        if isinstance(schema, bool):
            return schema
        if depth > _DEEPEST:
            raise SchemaRefused("it refers to itself without end")
        self.effort.spend(1 + len(schema.get("enum", ())))
        return (
            _plain(value, schema)
            and ("pattern" not in schema or not isinstance(value, str) or self._matches(value, schema["pattern"]))
            and self._combined(value, schema, depth + 1)
            and (not isinstance(value, dict) or self._members(value, schema, depth + 1))
            and (not isinstance(value, list) or self._items(value, schema, depth + 1))
        )

    def _matches(self, value: str, pattern: str) -> bool:
        return found(pattern, value, self.effort)

    def _combined(self, value: Any, schema: Mapping[str, Any], depth: int) -> bool:
        def fits(one: Schema) -> bool:
            return self.fits(value, one, depth)

        if "$ref" in schema and not fits(self._document.target(schema["$ref"])):
            return False
        if not all(fits(one) for one in schema.get("allOf", ())):
            return False
        if "anyOf" in schema and not any(fits(one) for one in schema["anyOf"]):
            return False
        if "oneOf" in schema and sum(fits(one) for one in schema["oneOf"]) != 1:
            return False
        if "not" in schema and fits(schema["not"]):
            return False
        return "if" not in schema or fits(schema.get("then" if fits(schema["if"]) else "else", True))

    def _members(self, value: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> bool:
        for name, member in value.items():
            if not all(self.fits(member, one, depth) for one in self.schemas_of(schema, name)):
                return False
            if not self.fits(name, schema.get("propertyNames", True), depth):
                return False
        for name, wanted in schema.get("dependentRequired", {}).items():
            if name in value and not all(other in value for other in wanted):
                return False
        return all(
            self.fits(value, one, depth) for name, one in schema.get("dependentSchemas", {}).items() if name in value
        )

    def schemas_of(self, schema: Mapping[str, Any], name: str) -> list[Schema]:
        """All that a member of this name must fit."""
        asked = [one for pattern, one in schema.get("patternProperties", {}).items() if self._matches(name, pattern)]
        if name in schema.get("properties", {}):
            asked.append(schema["properties"][name])
        return asked or [schema.get("additionalProperties", True)]

    def _items(self, value: list[Any], schema: Mapping[str, Any], depth: int) -> bool:
        prefix = schema.get("prefixItems", ())
        for position, item in enumerate(value):
            one = prefix[position] if position < len(prefix) else schema.get("items", True)
            if not self.fits(item, one, depth):
                return False
        if "contains" not in schema:
            return True
        fitting = sum(self.fits(item, schema["contains"], depth) for item in value)
        return bool(schema.get("minContains", 1) <= fitting <= schema.get("maxContains", fitting))


_Check = Callable[[Any, Any], bool]

_NUMBER: Final[dict[str, _Check]] = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
    "multipleOf": is_multiple,
}
_STRING: Final[dict[str, _Check]] = {
    "minLength": lambda value, bound: len(value) >= bound,
    "maxLength": lambda value, bound: len(value) <= bound,
    "format": has_format,
}
_ARRAY: Final[dict[str, _Check]] = {
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
    "uniqueItems": lambda value, wanted: not wanted or len({identity(item) for item in value}) == len(value),
}
_OBJECT: Final[dict[str, _Check]] = {
    "minProperties": lambda value, bound: len(value) >= bound,
    "maxProperties": lambda value, bound: len(value) <= bound,
    "required": lambda value, names: all(name in value for name in names),
}


def _plain(value: Any, schema: Mapping[str, Any]) -> bool:
    """The keywords that look at the value alone."""
    types = schema.get("type")
    if types is not None and not any(_TYPES[name](value) for name in (types if isinstance(types, list) else [types])):
        return False
    if "enum" in schema and identity(value) not in [identity(one) for one in schema["enum"]]:
        return False
    if "const" in schema and identity(value) != identity(schema["const"]):
        return False
    checks: dict[str, _Check] = {}
    if is_number(value):
        checks = _NUMBER
    elif isinstance(value, str):
        checks = _STRING
    elif isinstance(value, list):
        checks = _ARRAY
    elif isinstance(value, dict):
        checks = _OBJECT
    return all(check(value, schema[name]) for name, check in checks.items() if name in schema)
