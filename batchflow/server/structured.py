"""Answers of a structure that the request asks for: its schema found, an instance made and spoken by the persona."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchflow.server.dice import Dice, Stream
from batchflow.server.responder import Ask, Refused, World
from batchflow.server.schema.forms import Document, SchemaRefused, document
from batchflow.server.schema.instances import instance
from batchflow.server.schema.strict import check_strict
from batchflow.server.wording import Prompts, compose, options, persona_name, shortened

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHOOSING: Final = re.compile(
    r"cho(?:ice|sen)|option|pick|select|favou?rite|prefer|winner|appealing|brand|product|image|label|category",
    re.IGNORECASE,
)
_TOLD: Final = re.compile(
    r"reason|expla|justif|why|because|comment|summary|rationale|description|analysis", re.IGNORECASE
)
_SHORT: Final = re.compile(
    r"tag|keyword|word|adjective|theme|mood|feeling|emotion|colou?r|topic|trait|attribute|association", re.IGNORECASE
)
_NAMED_AS: Final = re.compile(r"(?:^|_)(?:(?:full|first|last|persona|person)_?)?name$", re.IGNORECASE)
_WORDS: Final = (
    *("warm", "playful", "calm", "bold", "honest", "familiar", "fresh", "elegant", "simple", "curious", "modern"),
    *("cosy", "bright", "quiet", "lively", "natural", "clever", "gentle", "strong", "soft", "unusual", "friendly"),
)
_NAMES: Final = ("Alex Kim", "Maria Lopez", "Sam Taylor", "Jordan Lee", "Nina Weber", "Omar Haddad", "Grace Chen")
_ANYTHING: Final = json.dumps(
    {
        "type": "object",
        "properties": {"answer": {"type": "string"}, "explanation": {"type": "string"}},
        "required": ["answer", "explanation"],
    }
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A structure: the schema, and the parameter it was given by."""

    document: Document
    name: str
    param: str


def of_chat(body: Mapping[str, Any]) -> Wanted | None:
    """What `response_format` asks for; None = plain text."""
    wanted = body.get("response_format")
    inner = wanted.get("json_schema") if isinstance(wanted, dict) else None
    return _wanted(wanted, inner, "response_format", "response_format.json_schema", body.get("messages"))


def of_responses(body: Mapping[str, Any]) -> Wanted | None:
    """What `text.format` asks for; None = plain text."""
    told = body.get("text")
    wanted = told.get("format") if isinstance(told, dict) else None
    return _wanted(wanted, wanted, "text.format", "text.format", [body.get("instructions"), body.get("input")])


def _wanted(wanted: Any, inner: Any, param: str, place: str, said: Any) -> Wanted | None:
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    match kind:
        case "text":
            return None
        case "json_object":
            if "json" not in json.dumps(said).lower():
                message = (
                    f"The messages must contain the word 'json' in some form, to use '{param}' of type 'json_object'."
                )
                raise Refused(message, param, None)
            return Wanted(document(_ANYTHING), "json_object", param)
        case "json_schema":
            return _schema_of(inner, param if param == "response_format" else f"{param}.schema", place)
        case _:
            message = f"Invalid value: '{kind}'. Supported values are: 'text', 'json_object' and 'json_schema'."
            raise Refused(message, f"{param}.type", "invalid_value")


def _schema_of(inner: Any, param: str, place: str) -> Wanted:
    if not isinstance(inner, dict):
        raise Refused(f"Missing required parameter: '{place}'.", place, "missing_required_parameter")
    for name in ("name", "schema"):
        if inner.get(name) is None:
            raise Refused(
                f"Missing required parameter: '{place}.{name}'.", f"{place}.{name}", "missing_required_parameter"
            )
    name = inner["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = f"Invalid '{place}.name': expected 1 to 64 of the characters A-Z, a-z, 0-9, '_' and '-'."
        raise Refused(message, f"{place}.name", "invalid_value")
    try:
        wanted = Wanted(document(json.dumps(inner["schema"])), name, param)
        if inner.get("strict") is True:
            check_strict(wanted.document.root)
    except SchemaRefused as refused:
        raise _refused(name, param, refused) from refused
    return wanted


def _refused(name: str, param: str, refused: SchemaRefused) -> Refused:
    # the service says response_format here whichever parameter it was
    return Refused(f"Invalid schema for response_format '{name}': {refused}.", param, "invalid_json_schema")


def composed(ask: Ask, world: World, prompts: Prompts, wanted: Wanted | None, index: int) -> str:
    """The text of one answer: plain words, or an instance as JSON. Refused where no instance is found."""
    dice = world.dice(ask, index)
    if wanted is None:
        return compose(prompts, dice) + ask.suffix
    try:
        made = instance(wanted.document, world.stream(ask, index, b"instance"), _Speaker(prompts, dice, ask.suffix))
    except SchemaRefused as refused:
        raise _refused(wanted.name, wanted.param, refused) from refused
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


class _Speaker:
    """The persona of the prompts, of one mind throughout an answer: what it chooses is what it explains."""

    def __init__(self, prompts: Prompts, dice: Dice, suffix: str) -> None:
        self._prompts = prompts
        self._suffix = suffix
        self._options = options(prompts)
        self._chosen = dice.pick(self._options) if self._options else ""
        self._unsaid = True

    def text(self, name: str, least: int, most: int, stream: Stream) -> str:
        """A sentence, or less where the field's name asks for the option chosen, a name or a word."""
        if (said := self._brief(name, stream)) and least <= len(said) <= most:
            return said
        said = compose(self._prompts, Dice(stream.below(1 << 128).to_bytes(16)), self._chosen) + self._suffix
        while len(said) < least:
            said += f" {compose(self._prompts, Dice(stream.below(1 << 128).to_bytes(16)), self._chosen)}"
        if len(said) <= most:
            return said
        short = shortened(said, most - 1) if most > 1 else said[:most]
        return short if least <= len(short) <= most else said[:most]

    def _brief(self, name: str, stream: Stream) -> str:
        if _TOLD.search(name):
            return ""
        if _SHORT.search(name):
            return stream.pick(_WORDS)
        if _NAMED_AS.search(name):
            return persona_name(self._prompts) or stream.pick(_NAMES)
        if self._options and _CHOOSING.search(name):
            return str(self.choice(self._options, stream))
        return ""

    def choice(self, values: Sequence[Any], stream: Stream) -> Any:
        """What the persona chose, the first time it may say so; then anything."""
        if self._unsaid and self._chosen in values:
            self._unsaid = False
            return self._chosen
        return stream.pick(values)

    def keys(self, stream: Stream) -> list[str]:
        """The options, in any order, or plain names."""
        return stream.shuffled(self._options) or ["answer", "explanation", "remark"]
