"""The short form of typed answers (`answer.fields`): what may stand there, and the JSON Schema that it means.

The schema is what is sent, byte for byte, and so part of what identifies a request: what a short form means never
changes within a spec version.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batchflow.identity import JsonNumber, json_text
from batchflow.spec.base import KEY, refuse

Path = tuple[str | int, ...]
Schema = dict[str, Any]

_SIMPLE: Final = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_MEANT: Final = {
    **dict.fromkeys(("string", "str", "varchar", "char", "free text", "date", "any"), "text"),
    **dict.fromkeys(("int", "whole number", "bigint", "long"), "integer"),
    **dict.fromkeys(("float", "double", "decimal", "real", "numeric"), "number"),
    **dict.fromkeys(("bool", "yes/no", "true/false", "logical"), "boolean"),
}
_WRITTEN: Final = r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)"
# not compiled before a study has fields
_RANGE: Final = rf"{_WRITTEN}\s*\.\.\s*{_WRITTEN}"
_NEARLY_A_RANGE: Final = rf"{_WRITTEN}\s*(?:\.\.\.|\u2026|\u2013|\u2014|-|:|to)\s*{_WRITTEN}"
_LIST_OF: Final = "list of"
_OTHERS: Final = frozenset({"description", "nullable"})
# what others say beside `type` -> what it is called here
_OTHERS_MEANT: Final = {
    **dict.fromkeys(("comment", "note", "help", "hint", "label", "title", "instruction"), "description"),
    **dict.fromkeys(("null", "optional", "required", "missing"), "nullable"),
}
_IN_SCHEMAS: Final = {
    **dict.fromkeys(("enum", "choices", "options", "values", "levels"), "write choices as the type: type: [a, b]"),
    **dict.fromkeys(("minimum", "maximum", "min", "max", "range"), "write a range as the type: type: 1..7"),
    **dict.fromkeys(("items", "list"), "write what the list holds: list of text"),
}
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LARGEST: Final = 2**63  # what a column of whole numbers holds
_SHOWN: Final = 40
_TYPES: Final = "text, integer, number, boolean, a range such as 1..7, a list of choices, or `list of …`"


def object_schema(fields: Mapping[str, Any], within: Path = ()) -> Schema:
    """The object with these fields, in their order. Errors: PydanticCustomError, at the field that cannot be read."""
    check_names(fields, within)
    properties = {name: field_schema(field, (*within, name)) for name, field in fields.items()}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def check_names(names: Mapping[str, Any], within: Path = ()) -> None:
    """Refuse names that could not be those of columns beside one another. Errors: PydanticCustomError."""
    seen: dict[str, str] = {}
    if not names:
        raise refuse(f"{KEY} names no field", "write at least one, e.g. why: text", within=within)
    for name in names:
        if not name.strip() or _CONTROL.search(name):
            cause = f"{KEY}: a field cannot be called {json_text(name)}"
            raise refuse(cause, "give it a name of visible characters", within=(*within, name), at_key=True)
        if earlier := seen.get(name.lower()):
            cause = f"{KEY}: the fields {earlier!r} and {name!r} differ in case only, columns do not"
            raise refuse(cause, "rename one of them", within=(*within, name), at_key=True)
        seen[name.lower()] = name


def field_schema(field: Any, within: Path = ()) -> Schema:
    """What one field may hold, as JSON Schema. Errors: PydanticCustomError."""
    if isinstance(field, str):
        return _of_word(field.strip(), within)
    if isinstance(field, Mapping):
        return _of_mapping(field, within)
    if isinstance(field, Sequence):
        return _of_choices(field, within)
    if field is None:
        raise refuse(f"{KEY} has no type", f"write one: {_TYPES}", within=within)
    raise refuse(f"{KEY} is no type of an answer", f"write one: {_TYPES}", within=within)


def _of_word(word: str, within: Path) -> Schema:
    if word.startswith(_LIST_OF + " "):
        if word.endswith("?"):
            inner = word.removeprefix(_LIST_OF).removesuffix("?").strip()
            remedy = (
                f"write {{type: list of {inner}, nullable: true}} for a list that may be missing, or "
                f'{{list of: "{inner}?"}} for members that may be'
            )
            raise refuse(f"{KEY}: `{_short(word)}` can be read in two ways", remedy, within=within)
        return _array(_of_word(word.removeprefix(_LIST_OF).strip(), within))
    schema = _scalar(word.removesuffix("?").rstrip(), within)
    return _nullable(schema) if word.endswith("?") else schema


def _scalar(word: str, within: Path) -> Schema:
    if word in _SIMPLE:
        return {"type": _SIMPLE[word]}
    if found := re.fullmatch(_RANGE, word):
        return _of_range(found[1], found[2], within)
    raise refuse(f"{KEY}: there is no type `{_short(word)}`", _type_meant(word), within=within)


def _type_meant(word: str) -> str:
    if found := re.fullmatch(_NEARLY_A_RANGE, word):
        return f"write {found[1]}..{found[2]}"
    for sign in (",", "|", "/"):
        if sign in word and word.lower() not in _MEANT:
            return f"for choices write a list: [{', '.join(part.strip() for part in word.split(sign)[:5])}]"
    if word == _LIST_OF:
        return "say of what: list of text"
    near = _nearly(word)
    return f"write {near}" if near else f"write one of these: {_TYPES}"


def _nearly(word: str) -> str:
    """The simple type that was probably meant."""
    return _MEANT.get(word.lower()) or next(iter(difflib.get_close_matches(word.lower(), _SIMPLE, 1)), "")


def _of_range(low: str, high: str, within: Path) -> Schema:
    if float(low) > float(high):
        raise refuse(f"{KEY}: the range {low}..{high} is empty", f"write {high}..{low}", within=within)
    if "." in low or "." in high:
        return {"type": "number", "minimum": JsonNumber(low), "maximum": JsonNumber(high)}
    if max(abs(int(low)), abs(int(high))) >= _LARGEST:
        raise refuse(f"{KEY}: the range {_short(f'{low}..{high}')} is too wide", "write integer", within=within)
    return {"type": "integer", "minimum": int(low), "maximum": int(high)}


def _of_choices(choices: Sequence[Any], within: Path) -> Schema:
    if not choices:
        raise refuse(f"{KEY} has no choices", "write at least one: [yes, no]", within=within)
    if len(choices) == 1 and isinstance(choices[0], str) and _is_type(choices[0]):
        word = choices[0].strip()
        cause = f"{KEY}: a list holds choices, and the only one here is `{_short(word)}`, which is a type"
        listed = "" if word.startswith(_LIST_OF) else f"; for a list of such: {_LIST_OF} {word.removesuffix('?')}"
        raise refuse(cause, f"did you mean the type? Write {_short(word)} without brackets{listed}", within=within)
    for position, choice in enumerate(choices):
        place = (*within, position)
        if isinstance(choice, bool):
            raise refuse(f"{KEY}: true and false are no choices", "write boolean", within=within)
        if not isinstance(choice, str | int | float):
            remedy = "write texts or numbers; for no answer: {type: [a, b], nullable: true}"
            raise refuse(f"{KEY}: a choice is a text or a number", remedy, within=place)
        if isinstance(choice, str) != isinstance(choices[0], str):
            remedy = "put the numbers in quotes, or remove the texts"
            raise refuse(f"{KEY}: texts and numbers are mixed", remedy, within=place)
        if choice in choices[:position]:
            raise refuse(f"{KEY}: a choice stands twice", "remove one of them", within=place)
        if isinstance(choice, int) and abs(choice) >= _LARGEST:
            raise refuse(f"{KEY}: this number is too large for a column", "put all choices in quotes", within=place)
    return {"type": _type_of(choices), "enum": list(choices)}


def _type_of(choices: Sequence[Any]) -> str:
    if isinstance(choices[0], str):
        return "string"
    return "integer" if all(isinstance(choice, int) for choice in choices) else "number"


def _of_mapping(field: Mapping[str, Any], within: Path) -> Schema:
    """The long form `{type: …, description: …, nullable: true}`, `{list of: …}` with the same; else an object."""
    for kind in (_LIST_OF, "type"):
        others = {name: member for name, member in field.items() if name != kind}
        if kind in field and _OTHERS.issuperset(others) and not _all_types(others):
            if kind == "type" and not others:
                remedy = "write the type alone, without `type:`; for an object with one field of this name: "
                remedy += "{type: {type: …}, description: …}"
                raise refuse(f"{KEY} can be read in two ways", remedy, within=within)
            inner = field_schema(field[kind], (*within, kind))
            return _described(_array(inner) if kind == _LIST_OF else inner, others, within)
        if kind in field and (stranger := _stranger(others)) is not None:
            cause = f"{KEY}: beside `{kind}` stand only `description` and `nullable`"
            raise refuse(cause, _beside_meant(stranger), within=(*within, stranger), at_key=True)
    return object_schema(field, within)


def _stranger(others: Mapping[str, Any]) -> str | None:
    """What makes neither the long form of a type nor an object of what stands beside `type`; None if nothing does."""
    unknown = [name for name in others if name not in _OTHERS]
    if not all(name in unknown or _is_type(member) for name, member in others.items()):
        return next(iter(unknown), None)  # a description in words: it is the long form
    for name in unknown:
        member = others[name]
        misspelt = isinstance(member, str) and _nearly(member)  # which is said as such
        if not (_is_type(member) or misspelt) or (name == "enum" and isinstance(member, list)):
            return name
    return None


def _beside_meant(name: str) -> str:
    word = name.lower()
    meant = _OTHERS_MEANT.get(word) or next(iter(difflib.get_close_matches(word, _OTHERS, 1)), "")
    if len(word) > 2 and "description".startswith(word):  # noqa: PLR2004 - desc, descr
        meant = "description"
    own = f"for a field of that name write its type: {name}: text"
    return f"did you mean {meant}? {own[0].upper()}{own[1:]}" if meant else _IN_SCHEMAS.get(word, own)


def _all_types(others: Mapping[str, Any]) -> bool:
    """Whether what stands beside `type` are fields as well: `{type: text, description: text}` is an object of two."""
    return bool(others) and all(_is_type(member) for member in others.values())


def _is_type(member: Any) -> bool:
    if isinstance(member, str):
        word = member.strip().removesuffix("?")
        return word in _SIMPLE or bool(re.fullmatch(_RANGE, word)) or word.startswith(_LIST_OF + " ")
    return isinstance(member, Mapping | list)


def _described(schema: Schema, others: Mapping[str, Any], within: Path) -> Schema:
    description, nullable = others.get("description"), others.get("nullable", False)
    if not isinstance(nullable, bool):
        raise refuse(f"{KEY}: `nullable` is true or false", "write nullable: true", within=(*within, "nullable"))
    if "description" in others and (not isinstance(description, str) or not description.strip()):
        remedy = "write a sentence, or remove it"
        raise refuse(f"{KEY}: `description` must be a text", remedy, within=(*within, "description"))
    schema = _nullable(schema) if nullable else schema
    return schema if description is None else {**schema, "description": description}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _nullable(schema: Schema) -> Schema:
    """The same, or null. A list of types where a single type says it all, as the services show it; else a choice."""
    if isinstance(schema.get("type"), str) and not {"enum", "items", "properties"} & schema.keys():
        return {**schema, "type": [schema["type"], "null"]}
    return schema if "anyOf" in schema or isinstance(schema["type"], list) else {"anyOf": [schema, {"type": "null"}]}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
