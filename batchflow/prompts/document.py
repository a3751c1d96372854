"""Where bodies come from: a JSON template, an inline mapping of the experiment file, or a plain prompt."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchflow.errors import Fault, TemplateError
from batchflow.prompts.body import Body, InFile, Locator, Place, Text
from batchflow.prompts.json_reader import JsonReader

DEFAULT_SHOWN = "the experiment file"


def read_json_template(path: Path, shown: str) -> Body:
    """A request body from a JSON file in which the quotes decide what a slot is. `shown`: the path as written.

    Errors: TemplateError with line, column and remedy at the first thing that is no JSON.
    """
    text = _read_text(path, shown)
    reader = JsonReader(text, shown)
    if not text.strip():
        raise TemplateError([Fault(shown, "the template is empty", "write the body of a request: a JSON object")])
    root = reader.read()
    if not isinstance(root, dict):
        raise TemplateError([Fault(shown, "the template is not a JSON object", "begin with { and end with }", 1, 1)])
    return Body(root, "quotes", reader)


def _read_text(path: Path, shown: str) -> str:
    if not path.is_file():
        remedy = "paths count from the folder of the experiment file"
        raise TemplateError([Fault(shown, "there is no such file", remedy)])
    content = path.read_bytes()
    if content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        raise TemplateError([Fault(shown, "the file is not UTF-8 but UTF-16", "save it as UTF-8", 1, 1)])
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        line = content[line_start:].split(b"\n", 1)[0].rstrip(b"\r")
        fault = Fault(
            shown,
            f"the file is not UTF-8: the byte 0x{content[error.start]:02X} cannot stand here",
            "save the file as UTF-8, or: iconv -f WINDOWS-1252 -t UTF-8 old.json > new.json",
            content.count(b"\n", 0, error.start) + 1,
            len(content[line_start : error.start].decode("utf-8", "replace")) + 1,
            line.decode("utf-8", "replace"),
        )
        raise TemplateError([fault]) from None


def body_from_mapping(mapping: Mapping[str, Any], locate: Locator | None = None) -> Body:
    """A request body from an inline template: every text may hold slots, and a slot is text unless it is the whole
    text and ends with `| number`, `| boolean` or `| json`.
    """
    return Body(_marked(mapping), "filter", locate or InFile(DEFAULT_SHOWN))


def body_from_prompt(system: str | None, user: str, locate: Locator | None = None) -> Body:
    """A chat of one question. `locate` is asked about places under `system` and `user`, as the prompt has them."""
    prompt = {"user": user} if system is None else {"system": system, "user": user}
    messages = [{"role": role, "content": text} for role, text in prompt.items()]
    return body_from_mapping({"messages": messages}, _InPrompt(locate or InFile(DEFAULT_SHOWN), tuple(prompt)))


@dataclass(frozen=True, slots=True)
class _InPrompt:
    """A locator that turns places of the messages into places of the prompt."""

    locate: Locator
    roles: tuple[str, ...]

    def __call__(self, place: Place, cause: str, remedy: str) -> Fault:
        if len(place.path) > 1 and isinstance(place.path[1], int):
            place = replace(place, path=(self.roles[place.path[1]],))
        return self.locate(place, cause, remedy)


def _marked(value: Any) -> Any:
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, Mapping):
        return {key: _marked(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [_marked(member) for member in value]
    return value
