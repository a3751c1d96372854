"""What `strict: true` asks of a schema: the real service refuses every row whose schema keeps to less."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from batchflow.server.schema.forms import Schema, SchemaRefused

_FORBIDDEN: Final = ("allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas")
_MAPS: Final = ("properties", "$defs", "definitions")


def check_strict(schema: Schema) -> None:
    """SchemaRefused in the service's words: every object closed, every property required, no keyword beyond those."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind != "object":
        told = f"'type: \"{kind}\"'" if isinstance(kind, str) else "something else"
        raise SchemaRefused(f"schema must be a JSON Schema of 'type: \"object\"', got {told}")
    _check(schema, ())


def _check(schema: Any, context: tuple[str, ...]) -> None:
    if not isinstance(schema, dict):
        return
    for name in _FORBIDDEN:
        if name in schema:
            raise SchemaRefused(f"In context={context}, '{name}' is not permitted")
    if "properties" in schema or "object" in _types(schema):
        _check_object(schema, context)
    for place, child in _children(schema):
        _check(child, (*context, *place))


def _types(schema: Mapping[str, Any]) -> list[Any]:
    types = schema.get("type")
    return types if isinstance(types, list) else [types]


def _check_object(schema: Mapping[str, Any], context: tuple[str, ...]) -> None:
    if schema.get("additionalProperties") is not False:
        raise SchemaRefused(f"In context={context}, 'additionalProperties' is required to be supplied and to be false")
    for name in schema.get("properties", {}):
        if name not in schema.get("required", ()):
            raise SchemaRefused(
                f"In context={context}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{name}'"
            )


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for kind in _MAPS:
        for name, child in schema.get(kind, {}).items():
            yield (kind, name), child
    yield ("items",), schema.get("items")
    for kind in ("anyOf", "prefixItems"):
        for position, child in enumerate(schema.get(kind, ())):
            yield (kind, str(position)), child
