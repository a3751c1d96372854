"""`answer:` compiled: what a request asks of its answer, what answers are held against, and the columns they become."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple, Protocol

from batchflow.errors import Fault, SpecError, TemplateError
from batchflow.identity import json_bytes, sha256_hex
from batchflow.plan.answer_types import ANSWER_KEYS, MOST_PARTS, TEXT, AnswerColumn, AnswerPlan, Kind, field_kinds
from batchflow.plan.validator import SchemaBroken, validator
from batchflow.prompts.body import Body, Path, Place, Text, Value
from batchflow.prompts.json_reader import JsonReader
from batchflow.prompts.slots import has_logic, has_slot
from batchflow.prompts.text import read_text
from batchflow.sources.columns import resolve
from batchflow.spec.answer import AnswerSpec
from batchflow.spec.endpoints import CHAT, RESPONSES
from batchflow.spec.load import Spec
from batchflow.spec.places import Loc
from batchflow.spec.strict import strict_problems

NAME: Final = "answer"  # of the schema, for the service
SHOWN_FAULTS: Final = 20
_TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "null")


class Answers(NamedTuple):
    """What a study wants of its answers. schema: as the author has it, None where nothing is sent for it; file: the one
    it came from, if any.
    """

    kinds: Mapping[str, Kind]
    schema: Mapping[str, Any] | None = None
    strict: bool = True
    extract: Mapping[str, str] = {}
    file: FilePath | None = None

    def asked(self, body: Body, endpoint: str) -> Body:
        """The body with what asks for the schema. Errors: TemplateError where it asks for another structure already."""
        if self.schema is None:
            return body
        described = {"name": NAME, "strict": self.strict, "schema": self.schema}
        key = _key(endpoint)
        if endpoint == CHAT:
            wanted, taken = {"type": "json_schema", "json_schema": described}, True
        else:
            held = body.root.get(key, {})
            taken = not isinstance(held, Mapping) or "format" in held
            wanted = {**(held if isinstance(held, Mapping) else {}), "format": {"type": "json_schema", **described}}
        if key in body.root and taken:
            place = Place((key,) if endpoint == CHAT else (key, "format"))
            remedy = f"remove {place.words()} here, or `answer` from the experiment file"
            raise TemplateError([body.fault(place, "`answer` asks for a structure as well", remedy)])
        return body.with_parameters({key: wanted}, body.fault)

    def stored(self) -> list[str]:
        """The names of the columns in the run's table of answers."""
        return resolve(list(self.kinds), ANSWER_KEYS, "answer_")

    def plan(self, shown: Sequence[str]) -> AnswerPlan:
        """For the manifest; shown: the names in `results`."""
        named = zip(self.kinds.items(), self.stored(), shown, strict=True)
        columns = tuple(AnswerColumn(name, stored, results, kind) for (name, kind), stored, results in named)
        schema = "" if self.schema is None else json_bytes(self.schema).decode()
        return AnswerPlan(columns, schema, dict(self.extract))

    @property
    def digest(self) -> str:
        """What of it is not in the requests, and yet makes other answers: the patterns; empty where there are none."""
        return sha256_hex(json_bytes(self.extract)) if self.extract else ""


def _key(endpoint: str) -> str:
    """The key of a body that says what an answer is to look like."""
    return "response_format" if endpoint == CHAT else "text"


def compile_answers(spec: Spec, answer: AnswerSpec) -> Answers:
    """What the spec wants of its answers. Errors: SpecError, TemplateError with every fault found."""
    if spec.experiment.endpoint not in {CHAT, RESPONSES}:
        cause = f"answers of {spec.experiment.endpoint} are no text, so that no columns can come of it"
        raise SpecError([spec.fault(("answer",), cause, "remove `answer`", key=True)])
    if answer.extract is not None:
        return Answers(dict.fromkeys(answer.extract, TEXT), extract=answer.extract)
    schema, locate, file = _schema(spec, answer)
    faults = [locate(*each) for each in _wrong(schema, strict=answer.strict)]
    for factor in spec.experiment.design.factors:
        if factor == _key(spec.experiment.endpoint):
            cause = f"the factor {factor!r} would replace what `answer` asks for"
            faults.append(spec.fault(("design", "factors", factor), cause, "remove one of the two", key=True))
    if faults:
        faults.sort(key=lambda fault: (fault.line or 0, fault.column or 0))
        raise SpecError(faults[:SHOWN_FAULTS], total=len(faults))
    return Answers(field_kinds(_plain(schema)), schema, answer.strict, file=file)


class _Located(Protocol):
    """A fault at a place of the schema, in the file where it is written."""

    def __call__(self, path: Path, cause: str, remedy: str) -> Fault: ...


def _schema(spec: Spec, answer: AnswerSpec) -> tuple[dict[str, Any], _Located, FilePath | None]:
    """The schema, where its parts are written, and its file."""
    if answer.fields is not None:
        return answer.fields_schema() or {}, partial(_in_fields, spec), None
    if isinstance(answer.schema_, str):
        return _read(spec, answer.schema_)
    return dict(answer.schema_ or {}), partial(_in_spec, spec), None


def _read(spec: Spec, shown: str) -> tuple[dict[str, Any], _Located, FilePath]:
    path = spec.resolve(shown)
    if not path.is_file():
        raise SpecError([spec.missing(("answer", "schema"), path)])
    reader = JsonReader(read_text(path, shown), shown, "schema")
    schema = _unmarked(reader.read())
    if not isinstance(schema, dict):
        raise SpecError([reader(Place(()), "the schema is not a JSON object", "begin with { and end with }")])
    return schema, partial(_in_file, reader), path


def _unmarked(node: Any) -> Any:
    """The values of a JSON file; in a schema nothing is filled in, a slot outside quotes stays to be found."""
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Mapping):
        return {name: _unmarked(member) for name, member in node.items()}
    return [_unmarked(member) for member in node] if isinstance(node, list) else node


def _in_file(reader: JsonReader, path: Path, cause: str, remedy: str) -> Fault:
    return reader(Place(path, key=_is_key(path)), f"{_words(path)}: {cause}", remedy)


def _in_spec(spec: Spec, path: Path, cause: str, remedy: str) -> Fault:
    loc: Loc = ("answer", "schema", *path)
    return spec.fault(loc, f"{_words(path)}: {cause}", remedy, key=_is_key(path))


def _in_fields(spec: Spec, path: Path, cause: str, remedy: str) -> Fault:
    loc = ("answer", "fields", *(name for kind, name in pairwise(path) if kind == "properties"))
    return spec.fault(loc, f"`{'.'.join(map(str, loc))}`: {cause}", remedy)


def _is_key(path: Path) -> bool:
    """Whether the fault is that a keyword stands there at all: a name, not a field's name."""
    return bool(path) and isinstance(path[-1], str) and (len(path) < 2 or path[-2] not in {"properties", "$defs"})  # noqa: PLR2004 - the last two


def _words(path: Path) -> str:
    return Place(path).words() if path else "the schema"


def _wrong(schema: dict[str, Any], *, strict: bool) -> list[tuple[Path, str, str]]:
    """What is wrong with a schema: what makes it none, or else what cannot be sent or be turned into columns."""
    outside = [*_slots(schema, ()), *_references(schema, ())]
    if outside:
        return outside
    plain = _plain(schema)
    try:
        validator(plain)
    except SchemaBroken as broken:
        return [(broken.path, *_explained(broken))]
    found = [(each.path, each.cause, each.remedy) for each in (strict_problems(plain) if strict else ())]
    return found or list(_without_columns(plain))


def _explained(broken: SchemaBroken) -> tuple[str, str]:
    """Cause and remedy of what is no JSON Schema."""
    if broken.path[-1:] == ("type",) and broken.path[-2:-1] != ("properties",):
        return "there is no such type", f"write one of {', '.join(_TYPES)}, or a list of them"
    return f"this is no JSON Schema: {broken.cause}", "correct it (JSON Schema, draft 2020-12)"


def _references(node: Any, path: Path) -> Iterator[tuple[Path, str, str]]:
    """What points out of the schema: nothing is fetched."""
    if isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            remedy = 'move what it names into "$defs", and write "$ref": "#/$defs/…"'
            yield (*path, "$ref"), "a schema cannot refer to another file or address", remedy
        for name, member in node.items():
            yield from _references(member, (*path, name))
    elif isinstance(node, list):
        for position, member in enumerate(node):
            yield from _references(member, (*path, position))


def _without_columns(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    kinds = field_kinds(schema)
    if not kinds:
        yield (), "no columns come of it: it names no fields of an object", 'write "type": "object" and "properties"'
    if len(kinds) > MOST_PARTS:
        cause = f"{len(kinds):,} fields would be as many columns; at most {MOST_PARTS:,} can be loaded"
        yield ("properties",), cause, "group fields in objects, or ask in several studies"
    for name in kinds:
        if not name.strip():
            yield ("properties", name), "a column needs a name", "give the field a name"


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as any reader of JSON has it."""
    plain: dict[str, Any] = json.loads(json_bytes(schema))
    return plain


def _slots(node: Any, path: Path) -> Iterator[tuple[Path, str, str]]:
    if isinstance(node, Value) or (isinstance(node, str) and (has_slot(node) or has_logic(node))):
        cause = "a schema is sent as it is, nothing is filled in here"
        yield path, cause, "write the slot into the template; here say it in other words"
    elif isinstance(node, Mapping):
        for name, member in node.items():
            yield from _slots(name, (*path, name))
            yield from _slots(member, (*path, name))
    elif isinstance(node, list):
        for position, member in enumerate(node):
            yield from _slots(member, (*path, position))
