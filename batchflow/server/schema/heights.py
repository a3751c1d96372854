"""How many levels an instance of a schema has at least: what ends recursion soonest."""

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from batchflow.server.schema.forms import Document, Schema

_FUEL: Final = 24  # steps that are looked ahead
_NESTED: Final = {"object", "array"}


class Heights:
    """The heights of one document's schemas."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[tuple[int, int], tuple[Schema, float]] = {}  # a schema is kept, so that its id stays its own

    def of(self, schema: Schema, fuel: int = _FUEL) -> float:
        """The least levels; infinite where no end was seen."""
        if isinstance(schema, bool):
            return 0 if schema else inf
        if fuel == 0:
            return inf
        key = (id(schema), fuel)
        if key not in self._known:
            self._known[key] = (schema, self._measured(schema, fuel - 1))
        return self._known[key][1]

    def _measured(self, schema: Mapping[str, Any], fuel: int) -> float:
        parts = [self.of(one, fuel) for one in schema.get("allOf", ())]
        if "$ref" in schema:
            parts.append(self.of(self._document.target(schema["$ref"]), fuel))
        parts += [min(self.of(one, fuel) for one in schema[name]) for name in ("anyOf", "oneOf") if name in schema]
        return max([self._own(schema, fuel), *parts])

    def _own(self, schema: Mapping[str, Any], fuel: int) -> float:
        types = schema.get("type", ())
        named = {types} if isinstance(types, str) else set(types)
        if "enum" in schema or "const" in schema or (named - _NESTED):
            return 0
        properties = schema.get("properties", {})
        inner = [self.of(properties.get(name, True), fuel) for name in schema.get("required", ())]
        inner += [self.of(one, fuel) for one in schema.get("prefixItems", ())] if schema.get("minItems") else []
        if schema.get("minItems"):
            inner.append(self.of(schema.get("items", True), fuel))
        return max((height + 1 for height in inner), default=0)
