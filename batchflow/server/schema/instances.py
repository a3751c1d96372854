"""An instance of a schema, drawn by a stream of choices and spoken by a voice; checked whole before it is given out.

Alternatives are tried one after the other, so that what can be satisfied usually is; a schema for which nothing was
found is refused, and an instance that does not fit is never returned. Recursion ends by depth and by size.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from batchflow.server.dice import Stream
from batchflow.server.schema import numbers
from batchflow.server.schema.checking import Judge, identity
from batchflow.server.schema.formats import of_format
from batchflow.server.schema.forms import TYPES, Document, Schema, SchemaRefused
from batchflow.server.schema.heights import Heights
from batchflow.server.schema.merging import Contradiction, Flat, both, flat_part, merged
from batchflow.server.schema.patterns import NotGenerated, matching
from batchflow.server.schema.searching import found

_TRIES: Final = 6  # values tried per alternative
_ALTERNATIVES: Final = 40  # alternatives tried per place
_HOPS: Final = 40  # references and alternatives followed at one place
_SHALLOW: Final = 6  # levels after which only what must be there is made
_DEEPEST: Final = 40
_MANY: Final = 1_000  # values after which only what must be there is made
_MOST: Final = 5_000  # values tried after which the schema is given up
_LONGEST: Final = 20_000  # characters and items that are made at most
_USUAL_ITEMS: Final = 3
_STRETCHES: Final = (1, 3, 8, 0)


class Voice(Protocol):
    """Who speaks: gives words that suit the request."""

    def text(self, name: str, least: int, most: int, stream: Stream) -> str:
        """Text for a field of this name, if possible of least to most characters."""

    def choice(self, values: Sequence[Any], stream: Stream) -> Any:
        """One of the values that are allowed."""

    def keys(self, stream: Stream) -> list[str]:
        """Names for the members of an object that may have any."""


class NothingFits(SchemaRefused):
    """No value was found for a place of the schema."""


def instance(document: Document, stream: Stream, voice: Voice) -> Any:
    """A valid instance; SchemaRefused where none is found."""
    try:
        return _Maker(document, stream, voice).value(document.root, "", 0)
    except RecursionError as error:
        raise SchemaRefused("it refers to itself without end") from error


class _Maker:
    def __init__(self, document: Document, stream: Stream, voice: Voice) -> None:
        self._document = document
        self._judge = Judge(document)
        self._heights = Heights(document)
        self._stream = stream
        self._voice = voice
        self._made = 0

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        """A value for this place; NothingFits if none was found."""
        if depth > _DEEPEST:
            raise NothingFits("it refers to itself without end")
        for flat in islice(self._flattened(schema, depth, 0), _ALTERNATIVES):
            for _ in range(_TRIES):
                self._made += 1
                if self._made > _MOST:
                    raise SchemaRefused("it is too complicated for the local simulator")
                try:
                    made = self._of_types(flat, name, depth)
                except NothingFits:
                    break
                if (depth and _is_leaf(schema)) or self._judge.fits(made, schema):
                    return made
        raise NothingFits(f"no value was found for '{name}'" if name else "no value was found that fits it")

    def _hurried(self, depth: int) -> bool:
        return depth > _SHALLOW or self._made > _MANY

    def _flattened(self, schema: Schema, depth: int, hops: int) -> Iterator[Flat]:
        """The ways to read a schema, each without references and alternatives, in the order to try them."""
        self._judge.effort.spend(1)
        if schema is False or hops > _HOPS:
            return
        if schema is True:
            yield {}
            return
        choices: list[list[Schema]] = [[one] for one in schema.get("allOf", ())]
        if "$ref" in schema:
            choices.insert(0, [self._document.target(schema["$ref"])])
        choices += [self._ordered(schema[name], depth) for name in ("anyOf", "oneOf") if name in schema]
        if "if" in schema:
            choices.append([both(schema["if"], schema.get("then", True)), schema.get("else", True)])
        choices += [[True, one] for one in schema.get("dependentSchemas", {}).values()]
        yield from self._combined(flat_part(schema), choices, depth, hops + 1)

    def _combined(self, own: Flat, choices: Sequence[list[Schema]], depth: int, hops: int) -> Iterator[Flat]:
        if not choices:
            yield own
            return
        for choice in choices[0]:
            for flat in self._flattened(choice, depth, hops):
                try:
                    joined = merged(own, flat)
                except Contradiction:
                    continue
                yield from self._combined(joined, choices[1:], depth, hops)

    def _ordered(self, alternatives: Sequence[Schema], depth: int) -> list[Schema]:
        """Varied; nothing rather late, and what ends soonest first where time presses."""
        ordered = self._stream.shuffled(alternatives)
        if self._hurried(depth):
            return sorted(ordered, key=self._heights.of)
        if not self._stream.chance(3):
            ordered.sort(key=lambda one: isinstance(one, dict) and one.get("type") == "null")
        return ordered

    def _of_types(self, flat: Flat, name: str, depth: int) -> Any:
        if "enum" in flat:
            rest = {name: asked for name, asked in flat.items() if name != "enum"}
            possible = [value for value in flat["enum"] if self._judge.fits(value, rest)]
            if not possible:
                raise NothingFits("none of its values fits it")
            return self._voice.choice(possible, self._stream)
        for kind in self._types(flat, depth):
            try:
                return self._of_type(kind, flat, name, depth)
            except NothingFits:
                continue
        raise NothingFits("no type fits it")

    def _types(self, flat: Flat, depth: int) -> list[str]:
        if "type" not in flat:
            likely = next((kind for kind, names in _SIGNS.items() if any(one in flat for one in names)), None)
            first = likely or ("string" if depth else "object")
            return [first, *(kind for kind in ("string", "integer", *TYPES) if kind != first)]
        types = flat["type"] if isinstance(flat["type"], list) else [flat["type"]]
        ordered = self._stream.shuffled(types)
        if self._hurried(depth):
            return sorted(ordered, key=lambda kind: kind in ("object", "array"))
        if not self._stream.chance(3):
            ordered.sort(key=lambda kind: kind == "null")
        return ordered

    def _of_type(self, kind: str, flat: Flat, name: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(flat, depth)
            case "array":
                return self._array(flat, name, depth)
            case "string":
                return self._string(flat, name)
            case "integer" | "number":
                return self._number(flat, name, whole=kind == "integer")
            case "boolean":
                return self._stream.chance(2)
            case _:
                return None

    def _number(self, flat: Flat, name: str, *, whole: bool) -> float:
        for candidate in numbers.candidates(flat, name, self._stream, whole=whole):
            if self._judge.fits(candidate, flat):
                return candidate
        raise NothingFits("its bounds leave no number")

    def _string(self, flat: Flat, name: str) -> str:
        least, most = int(flat.get("minLength", 0)), int(flat.get("maxLength", _LONGEST))
        if least > min(most, _LONGEST):
            raise NothingFits("its bounds leave no text that is made here")
        for candidate in self._strings(flat, name, least, most):
            if self._judge.fits(candidate, flat):
                return candidate
        raise NothingFits("no text was found for its pattern, format and lengths")

    def _strings(self, flat: Flat, name: str, least: int, most: int) -> Iterator[str]:
        for _ in range(30 if "format" in flat else 0):
            if (text := of_format(flat["format"], self._stream)) is not None:
                yield text
        if "pattern" in flat:
            for stretch in (*_STRETCHES * 4, least):
                try:
                    yield matching(flat["pattern"], self._stream, stretch=stretch)
                except NotGenerated:
                    break
            yield from self._of_length(flat["pattern"], least)
        for _ in range(_TRIES):
            yield self._voice.text(name, least, most, self._stream)

    def _of_length(self, pattern: str, least: int) -> Iterator[str]:
        """Candidates of about this length, for patterns that repeat one, two or three things."""
        near = [share - less for share in (least, least // 2, least // 3) for less in range(6) if share > less]
        for stretch in near:
            try:
                yield matching(pattern, self._stream, stretch=stretch, fill=True)
            except NotGenerated:
                return

    def _array(self, flat: Flat, name: str, depth: int) -> list[Any]:
        places: list[Schema] = list(flat.get("prefixItems", ()))
        further: Schema = flat.get("items", True)
        length = self._length(flat, len(places), further, depth)
        places = (places + [further] * (length - len(places)))[:length]
        if "contains" in flat:
            for last in range(1, min(int(flat.get("minContains", 1)), length) + 1):
                places[-last] = both(places[-last], flat["contains"])
        items: list[Any] = []
        seen: set[Any] = set()
        for place in places:
            item = self._item(place, name, depth, seen if flat.get("uniqueItems") else set())
            if item is _NONE_LEFT:
                break
            items.append(item)
            seen.add(identity(item))
        if len(items) < flat.get("minItems", 0):
            raise NothingFits("it asks for more different items than there are")
        return items

    def _length(self, flat: Flat, named: int, further: Schema, depth: int) -> int:
        least, most = int(flat.get("minItems", 0)), int(flat.get("maxItems", _LONGEST))
        if further is False:
            most = min(most, named)
        needed = max(least, int(flat.get("minContains", 1)) if "contains" in flat else 0)
        if needed > min(most, _LONGEST):
            raise NothingFits("its bounds leave no array that is made here")
        if self._hurried(depth):
            return needed
        usual = max(needed, min(most, max(named, 1)))
        return self._stream.between(usual, max(usual, min(most, usual + _USUAL_ITEMS)))

    def _item(self, place: Schema, name: str, depth: int, seen: set[Any]) -> Any:
        if not seen:
            return self.value(place, name, depth + 1)
        listed = place.get("enum") if isinstance(place, dict) else None
        for value in self._stream.shuffled(listed) if listed else ():
            if identity(value) not in seen and self._judge.fits(value, place):
                return value
        for _ in range(20):
            value = self.value(place, name, depth + 1)
            if identity(value) not in seen:
                return value
        return _NONE_LEFT

    def _object(self, flat: Flat, depth: int) -> dict[str, Any]:
        properties: dict[str, Schema] = flat.get("properties", {})
        required = _closed(list(flat.get("required", ())), flat)
        most = int(flat.get("maxProperties", _LONGEST))
        least = int(flat.get("minProperties", 0))
        if max(len(required), least) > min(most, _LONGEST):
            raise NothingFits("its bounds leave no object that is made here")
        wanted = set(required)
        optional = [name for name in self._stream.shuffled(list(properties)) if name not in wanted]
        for name in optional:
            grown = set(_closed([*wanted, name], flat))
            few = len(wanted) < least
            if len(grown) <= most and (few or not (self._hurried(depth) or self._stream.chance(4))):
                wanted = grown
        made: dict[str, Any] = {}
        for name in (*properties, *(one for one in required if one not in properties)):
            if name in wanted:
                try:
                    made[name] = self.value(self._member(flat, name), name, depth + 1)
                except NothingFits:
                    if name in required:
                        raise
        self._more_members(made, flat, least, most, depth)
        return made

    def _member(self, flat: Flat, name: str) -> Schema:
        place: Schema = True
        for one in self._judge.schemas_of(flat, name):
            place = both(place, one)
        return place

    def _more_members(self, made: dict[str, Any], flat: Flat, least: int, most: int, depth: int) -> None:
        """Members of no name of their own: where the object is a map, or has too few."""
        usual = 0 if flat.get("properties") or self._hurried(depth) else self._stream.between(1, _USUAL_ITEMS)
        count = max(least, min(most, usual)) - len(made)
        for name in islice(self._names(flat), 100 + 2 * max(count, 0)) if count > 0 else ():
            if name in made or name in flat.get("properties", {}) or name in flat.get("dependentRequired", {}):
                continue
            if not self._judge.fits(name, flat.get("propertyNames", True)):
                continue
            place = self._member(flat, name)
            if place is False:
                continue
            try:
                made[name] = self.value(place, name, depth + 1)
            except NothingFits:
                if len(made) < least:
                    continue
                return
            count -= 1
            if count == 0:
                return

    def _names(self, flat: Flat) -> Iterator[str]:
        if "propertyNames" in flat:
            for _ in range(60):
                try:
                    named = self.value(both(flat["propertyNames"], {"type": "string"}), "name", _SHALLOW)
                except NothingFits:
                    break
                yield named
        for pattern in flat.get("patternProperties", {}):
            for stretch in _STRETCHES * 3:
                try:
                    text = matching(pattern, self._stream, stretch=stretch)
                except NotGenerated:
                    break
                if found(pattern, text, self._judge.effort):
                    yield text
        yield from self._voice.keys(self._stream)
        yield from (f"field_{number}" for number in range(1, _LONGEST))


_NONE_LEFT: Final = object()
_LEAF: Final = frozenset(
    {
        *("type", "enum", "const", "title", "description", "default", "examples"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format"),
    }
)
_SIGNS: Final = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
    "array": ("items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _is_leaf(schema: Schema) -> bool:
    """Whether it asks only for what a single value was checked for when it was made; the whole is checked once more."""
    return isinstance(schema, bool) or schema.keys() <= _LEAF


def _closed(names: list[str], flat: Flat) -> list[str]:
    """These names and all that they require."""
    closed = list(dict.fromkeys(names))
    for name in closed:  # grows while it is walked
        closed += [other for other in flat.get("dependentRequired", {}).get(name, ()) if other not in closed]
    return closed
