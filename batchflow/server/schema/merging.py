"""Two schemas that both hold, as one: so that a value can be made for both at once.

A merged schema may only be stricter than the two, never laxer; what cannot be merged stays beside it under `allOf`.
"""

from collections.abc import Callable, Mapping
from math import lcm
from typing import Any, Final

from batchflow.server.schema.checking import identity
from batchflow.server.schema.forms import TYPES, Schema, SchemaRefused

Flat = dict[str, Any]  # without references and alternatives


class Contradiction(SchemaRefused):
    """No value fits both."""


def flat_part(schema: Mapping[str, Any]) -> Flat:
    """What a schema itself says, without its references and alternatives."""
    flat = {name: value for name, value in schema.items() if name in _MERGES or name in _KEPT}
    if "const" in schema:
        flat["enum"] = [one for one in schema.get("enum", [schema["const"]]) if same(one, schema["const"])]
    return flat


def same(one: Any, other: Any) -> bool:
    return bool(identity(one) == identity(other))


def both(one: Schema, other: Schema) -> Schema:
    """A schema that asks for both."""
    if one is True or one == other:
        return other
    return one if other is True else {"allOf": [one, other]}


def merged(one: Flat, other: Flat) -> Flat:
    """Both at once; Contradiction where that is plain to see."""
    joined = dict(one)
    for name, value in other.items():
        if name not in joined:
            joined[name] = value
        elif name in _MERGES:
            joined[name] = _MERGES[name](joined[name], value)
        elif joined[name] != value:
            joined["allOf"] = [*joined.get("allOf", ()), {name: value}]
    if ("additionalProperties" in one or "additionalProperties" in other) or "properties" in joined:
        _join_properties(joined, one, other)
    if "items" in joined or "prefixItems" in joined:
        _join_items(joined, one, other)
    return joined


def _join_properties(joined: Flat, one: Flat, other: Flat) -> None:
    """A property that one of them does not name is one of its additional ones."""
    names = [*one.get("properties", {}), *other.get("properties", {})]
    joined["properties"] = {name: both(_property(one, name), _property(other, name)) for name in names}
    joined["additionalProperties"] = both(
        one.get("additionalProperties", True), other.get("additionalProperties", True)
    )


def _property(schema: Flat, name: str) -> Schema:
    found: Schema = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
    return found


def _join_items(joined: Flat, one: Flat, other: Flat) -> None:
    length = max(len(schema.get("prefixItems", ())) for schema in (one, other))
    if length:
        joined["prefixItems"] = [both(_item(one, position), _item(other, position)) for position in range(length)]
    joined["items"] = both(one.get("items", True), other.get("items", True))


def _item(schema: Flat, position: int) -> Schema:
    prefix = schema.get("prefixItems", ())
    found: Schema = prefix[position] if position < len(prefix) else schema.get("items", True)
    return found


def _types(one: Any, other: Any) -> list[str]:
    common = _named(one) & _named(other)
    if not common:
        raise Contradiction("two of its parts ask for different types")
    return [name for name in TYPES if name in common and not (name == "integer" and "number" in common)]


def _named(types: Any) -> set[str]:
    named = set(types if isinstance(types, list) else [types])
    return named | {"integer"} if "number" in named else named


def _values(one: list[Any], other: list[Any]) -> list[Any]:
    known = {identity(value) for value in other}
    common = [value for value in one if identity(value) in known]
    if not common:
        raise Contradiction("two of its parts allow different values")
    return common


def _multiple(one: float, other: float) -> float:
    if one == int(one) and other == int(other):
        return lcm(int(one), int(other))
    return max(one, other)  # a candidate is checked against both in the end


def _names(one: list[str], other: list[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


_LARGER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_SMALLER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_MERGES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "type": _types,
    "enum": _values,
    "required": _names,
    "multipleOf": _multiple,
    "uniqueItems": lambda one, other: one or other,
    **dict.fromkeys(_LARGER, max),
    **dict.fromkeys(_SMALLER, min),
    # these three are joined together, with what stands beside them
    **dict.fromkeys(("properties", "additionalProperties", "items", "prefixItems"), lambda one, _: one),
}
_KEPT: Final = ("pattern", "format", "contains", "patternProperties", "propertyNames", "dependentRequired")
