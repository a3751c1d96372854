"""pydantic's findings about a spec -> faults in plain words, each at its place, with a way out."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from batchflow.identity import JsonNumber, json_bytes
from batchflow.spec import later
from batchflow.spec.base import KEY
from batchflow.spec.endpoints import CHAT, ENDPOINTS
from batchflow.spec.model import Experiment
from batchflow.spec.places import Loc
from batchflow.spec.source_text import BLANKS, USE_A_PLAIN_BLANK, without_secrets

_SHOWN: Final = 60
BODY_KEYS: Final = frozenset(
    {
        *("model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "frequency_penalty", "n", "stop"),
        *("presence_penalty", "response_format", "seed", "logprobs", "top_logprobs", "tools"),
        *("tool_choice", "reasoning_effort", "verbosity", "service_tier", "store", "max_output_tokens", "reasoning"),
        *("instructions", "text", "dimensions", "logit_bias", "prediction", "truncation", "parallel_tool_calls"),
    }
)
_PROMPT_KEYS: Final = {
    "messages": "write the messages into the template, or use `prompt:` with `system:` and `user:`",
    "system": "write it under `prompt`",
    "user": "write it under `prompt`",
    "question": "write it under `prompt`, as `user`",
}
_BOOLEANS: Final = {"yes": "true", "on": "true", "y": "true", "true": "true", "1": "true"} | dict.fromkeys(
    ("no", "off", "n", "false", "0"), "false"
)


def dotted(loc: Loc) -> str:
    """The key as a person names it: `data.source`."""
    return ".".join(str(step) for step in loc)


def explain(error: ErrorDetails) -> tuple[str, str, bool]:
    """Cause, remedy, and whether the fault is the key itself (else its value)."""
    kind = error["type"]
    if kind == "extra_forbidden":
        return *_unknown(error["loc"]), True
    if kind == "batchflow":
        return *_own_words(error), error["ctx"]["at_key"]
    if error["input"] is None and kind != "missing":
        return *_no_value(error), False
    return *_BY_KIND.get(kind, _as_found)(error), False


def _own_words(error: ErrorDetails) -> tuple[str, str]:
    context = error["ctx"]
    return str(context["cause"]).replace(KEY, f"`{dotted(error['loc'])}`", 1), str(context["remedy"])


def _missing(error: ErrorDetails) -> tuple[str, str]:
    return f"`{dotted(error['loc'])}` is missing", f"add e.g. {_example_line(error['loc'])}"


def _no_value(error: ErrorDetails) -> tuple[str, str]:
    return f"`{dotted(error['loc'])}` has no value", f"write e.g. {_example_line(error['loc'])}, or remove the line"


def _wrong_type(error: ErrorDetails) -> tuple[str, str]:
    loc, kind, given = error["loc"], error["type"], error["input"]
    cause = f"`{dotted(loc)}` is {_described(given)} where {_expected(loc, kind)} belongs"
    return cause, _mended(loc, kind, given)


def _out_of_bounds(error: ErrorDetails) -> tuple[str, str]:
    loc, context = error["loc"], error["ctx"]
    word, bound = ("smallest", context["ge"]) if "ge" in context else ("largest", context["le"])
    cause = f"`{dotted(loc)}` is {error['input']}; the {word} value allowed is {bound}"
    return cause, f"write e.g. {_example_line(loc)}"


def _empty(error: ErrorDetails) -> tuple[str, str]:
    return f"`{dotted(error['loc'])}` is empty", f"write e.g. {_example_line(error['loc'])}"


def _as_found(error: ErrorDetails) -> tuple[str, str]:
    return f"`{dotted(error['loc'])}`: {error['msg']}", f"write e.g. {_example_line(error['loc'])}"


_WRONG_TYPE: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping (keys with values)",
    "model_type": "a mapping (keys with values)",
    "model_attributes_type": "a mapping (keys with values)",
}


def _expected(loc: Loc, kind: str) -> str:
    return "a name or a mapping (keys with values)" if loc == ("provider",) else _WRONG_TYPE[kind]


def _described(given: Any) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return f"the number {given.text if isinstance(given, JsonNumber) else given}"
    if isinstance(given, str):
        return f'the text "{_short(given)}"' if given else "an empty text"
    return "a list" if isinstance(given, list) else "a mapping"


def _short(text: str) -> str:
    line = without_secrets(" ".join(text.split()))
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"


def _mended(loc: Loc, kind: str, given: Any) -> str:
    """What to write instead; the user's own value where it can be told."""
    if kind == "string_type" and isinstance(given, bool | int | float):
        return f'put it in quotes: "{_described(given).removeprefix("the number ")}"'
    if kind == "bool_type":
        meant = _BOOLEANS.get(str(given).lower())
        return f"write {meant}" if meant else "write true or false, without quotes"
    if kind == "int_type" and isinstance(given, str):
        digits = given.replace("_", "").replace(",", "").replace(" ", "")
        if digits.isascii() and digits.isdigit() and len(digits) < _SHOWN:
            return f"write {digits}, without quotes" if digits == given else f"write {digits}"
    return f"write e.g. {_example_line(loc)}"


def _not_among(error: ErrorDetails) -> tuple[str, str]:
    loc, given = error["loc"], error["input"]
    if loc == ("endpoint",) and isinstance(given, str):
        return _no_endpoint(given)
    choices = [choice.strip(" '\"") for choice in str(error["ctx"]["expected"]).replace(" or ", ",").split(",")]
    near = difflib.get_close_matches(given.lower(), choices, 1) if isinstance(given, str) else []
    remedy = f"did you mean {near[0]}?" if near else f"write {' or '.join(choices)}"
    return f"`{dotted(loc)}` cannot be {_described(given)}", remedy


def _no_endpoint(given: str) -> tuple[str, str]:
    """Batches are for certain endpoints only; addresses and names without `/v1/` are near misses."""
    path = "/v1/" + given.lower().rstrip("/").rpartition("v1/")[2].lstrip("/")
    near = difflib.get_close_matches(path, ENDPOINTS, 1, 0.7)
    remedy = (
        f"did you mean {near[0]}?" if near else f"write one of {', '.join(ENDPOINTS)}; without the line it is {CHAT}"
    )
    return f"`endpoint` cannot be {_described(given)}: batches are not made for it", remedy


_BY_KIND: Final[dict[str, Callable[[ErrorDetails], tuple[str, str]]]] = {
    "missing": _missing,
    "greater_than_equal": _out_of_bounds,
    "less_than_equal": _out_of_bounds,
    "string_too_short": _empty,
    "literal_error": _not_among,
    **dict.fromkeys(_WRONG_TYPE, _wrong_type),
}


def _unknown(loc: Loc) -> tuple[str, str]:
    """A key that the models do not have: of a later version, misspelt, or of another place."""
    *above, last = loc
    parent, name = tuple(str(step) for step in above), str(last)
    full = f"`{dotted(loc)}`"
    if name in later.KEYS.get(parent, {}):
        return f"{full} {later.NOT_YET}", later.KEYS[parent][name]
    if name[:1] in {*BLANKS[1:]} and name.strip():
        cause = f"the blank U+{ord(name[0]):04X} stands before `{_short(name.strip())}`: YAML takes it for a part of it"
        return cause, USE_A_PLAIN_BLANK
    known = list(_fields(parent))
    place = f"`{dotted(parent)}`" if parent else "an experiment"
    return f"`{_short(name)}` is not a key of {place}", _way_out(parent, name, known)


def meant(loc: Loc) -> str | None:
    """The key that an unknown one is a misspelling of, if any; one that is right elsewhere is no misspelling."""
    *above, last = (str(step) for step in loc)
    if _elsewhere(tuple(above), last):
        return None
    near = difflib.get_close_matches(last.lower().replace("-", "_"), list(_fields(tuple(above))), 1)
    return near[0] if near else None


def _way_out(parent: tuple[str, ...], name: str, known: list[str]) -> str:
    near = meant((*parent, name))
    if near:
        return f"did you mean `{near}`?"
    return _elsewhere(parent, name) or f"remove it; the keys here are {', '.join(known)}"


def _elsewhere(parent: tuple[str, ...], name: str) -> str:
    """Where a key belongs that is known, only not here; empty if it is not."""
    if name in _PROMPT_KEYS:
        return _PROMPT_KEYS[name]
    if name in BODY_KEYS:
        return "write it under `parameters`"
    for place in _places():
        if place != parent and name in _fields(place):
            return f"write it under `{dotted(place)}`" if place else "write it at the top level, without indentation"
    return ""


def _model_at(loc: tuple[str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] = Experiment
    for step in loc:
        found = step in model.model_fields and _submodel(model.model_fields[step])
        if not found:
            return None
        model = found
    return model


def _submodel(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *getattr(field.annotation, "__args__", ()))
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _fields(loc: tuple[str, ...]) -> dict[str, FieldInfo]:
    model = _model_at(loc)
    return {field.alias or name: field for name, field in model.model_fields.items()} if model else {}


def _places() -> Iterator[tuple[str, ...]]:
    yield ()
    for name, field in Experiment.model_fields.items():
        if _submodel(field):
            yield (name,)


def _example_line(loc: Loc) -> str:
    """`key: value` with the first example of the key's field."""
    *above, last = (str(step) for step in loc) if loc else ("",)
    field = _fields(tuple(above)).get(last)
    examples = field.examples if field is not None else None
    return f"{last}: {_flow(examples[0])}" if examples else str(last)


def _flow(value: Any) -> str:
    """A value as one would write it in one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(member)}" for key, member in value.items()) + "}"
    if isinstance(value, str) and not any(character in value for character in "{}[],:#&*!|>'\"%@`?"):
        return value
    return json_bytes(value).decode()
