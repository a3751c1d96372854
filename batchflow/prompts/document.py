"""Where bodies come from: a JSON or YAML file, an inline mapping of the experiment file, or a plain prompt."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final

from batchflow.errors import Fault, TemplateError
from batchflow.prompts.body import Body, InFile, Locator, Path, Place, Text
from batchflow.prompts.json_reader import JsonReader
from batchflow.prompts.text import read_text, read_yaml
from batchflow.spec.endpoints import CHAT, EMBEDDINGS, MODERATIONS, RESPONSES
from batchflow.spec.source_text import SourceText

DEFAULT_SHOWN = "the experiment file"


def read_template(path: FilePath, shown: str) -> Body:
    """A request body from a file, JSON or YAML as its name says. `shown`: the path as written.

    Errors: TemplateError with line, column and remedy: all faults of a YAML file, the first of a JSON file.
    """
    return read_json_template(path, shown) if path.suffix.lower() == ".json" else read_yaml_template(path, shown)


def read_json_template(path: FilePath, shown: str) -> Body:
    """A request body from a JSON file in which the quotes decide what a slot is. Errors: as `read_template`."""
    text = read_text(path, shown)
    reader = JsonReader(text, shown)
    if not text.strip():
        raise TemplateError([Fault(shown, "the template is empty", "write the body of a request: a JSON object")])
    root = reader.read()
    if not isinstance(root, dict):
        raise TemplateError([Fault(shown, "the template is not a JSON object", "begin with { and end with }", 1, 1)])
    return Body(root, "quotes", reader)


def read_yaml_template(path: FilePath, shown: str) -> Body:
    """A request body from a YAML file: slots as in an inline template. Errors: as `read_template`."""
    places = read_yaml(SourceText(shown, read_text(path, shown), "template"))
    if not isinstance(places.root.value, dict):
        cause = "the template is no mapping (`key: value` lines)"
        raise TemplateError([places.fault((), cause, "write the body of a request: model: …, messages: …")])

    def locate(place: Place, cause: str, remedy: str) -> Fault:
        return places.fault(place.path, f"{place.words()}: {cause}", remedy, key=place.key, inside=place.offset)

    return body_from_mapping(places.root.plain(), locate)


def body_from_mapping(mapping: Mapping[str, Any], locate: Locator | None = None) -> Body:
    """A request body from an inline template: every text may hold slots, and a slot is text unless it is the whole
    text and ends with `| number`, `| boolean` or `| json`.
    """
    return Body(_marked(mapping), "filter", locate or InFile(DEFAULT_SHOWN))


def body_from_prompt(system: str | None, user: str, locate: Locator | None = None, endpoint: str = CHAT) -> Body:
    """One question, as the endpoint has it. `locate` is asked about places under `system` and `user`, as the prompt has
    them. Errors: TemplateError for a `system` where the endpoint knows none.
    """
    locate = locate or InFile(DEFAULT_SHOWN)
    prompt = {"user": user} if system is None else {"system": system, "user": user}
    if endpoint == CHAT:
        messages = [{"role": role, "content": text} for role, text in prompt.items()]
        places: dict[Path, str] = {("messages", position): role for position, role in enumerate(prompt)}
        return body_from_mapping({"messages": messages}, partial(_in_prompt, locate, places))
    keys = {"user": _ASKED_BY.get(endpoint, "prompt")}
    if endpoint == RESPONSES:
        keys = {"system": "instructions", **keys}
    elif system is not None:
        cause = f"{endpoint} takes no system message"
        remedy = "remove system, or write its words into user"
        raise TemplateError([locate(Place(("system",), key=True), cause, remedy)])
    places = {(keys[role],): role for role in prompt}
    return body_from_mapping({keys[role]: text for role, text in prompt.items()}, partial(_in_prompt, locate, places))


_ASKED_BY: Final = {RESPONSES: "input", EMBEDDINGS: "input", MODERATIONS: "input"}


def _in_prompt(locate: Locator, roles: Mapping[Path, str], place: Place, cause: str, remedy: str) -> Fault:
    """A locator that turns places of the body into places of the prompt, which are named by role."""
    for path, role in roles.items():
        if place.path[: len(path)] == path:
            place = place._replace(path=(role,))
    return locate(place, cause, remedy)


def _marked(value: Any) -> Any:
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, Mapping):
        return {key: _marked(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [_marked(member) for member in value]
    return value
