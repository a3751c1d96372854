"""Cells that stand for JSON values: which texts are such, and the bytes they become."""

from typing import Any

from batchflow.identity import json_bytes
from batchflow.prompts.json_reader import NUMBER, finite, read_json

_WORDS = ("true", "false", "null")
_MAX_SHOWN = 60


class NotAValue(ValueError):
    """The cell is no value of the kind that its slot asks for. Carries cause and remedy."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause, self.remedy = cause, remedy


def cell_value(cell: str, kind: str) -> bytes:
    """The cell, blanks around it trimmed, as JSON. kind: scalar (a number, true, false, null), number, boolean, json.

    Errors: NotAValue.
    """
    text = cell.strip()
    if kind == "json":
        return _any_json(text)
    if kind != "boolean" and NUMBER.fullmatch(text):
        return _number(text)
    if text in (_WORDS if kind == "scalar" else _WORDS[:2] if kind == "boolean" else ()):
        return text.encode()
    wanted = {"scalar": "a number, true, false or null", "number": "a number", "boolean": "true or false"}[kind]
    raise NotAValue(f"{_shown(cell)} is not {wanted}", _remedy(text, kind))


def _number(text: str) -> bytes:
    try:
        return finite(text).text.encode()
    except ValueError as error:
        raise NotAValue(f"{_shown(text)}: {error}", "write a smaller number") from None


def _any_json(text: str) -> bytes:
    try:
        return json_bytes(read_json(text))
    except (ValueError, RecursionError) as error:
        raise NotAValue(f"{_shown(text)} is not JSON: {error}", "write JSON into the cell") from None


def result_value(result: Any, kind: str) -> bytes:
    """What a Jinja expression gave, as JSON; a text is read like a cell. Errors: NotAValue."""
    if isinstance(result, str):
        return cell_value(result, kind)
    if kind == "json" or result is None or isinstance(result, bool | int | float):
        try:
            text = json_bytes(result)
        except (TypeError, ValueError, AttributeError):
            raise NotAValue(
                f"{_shown(repr(result))} cannot be written as JSON", "give a number, text or list"
            ) from None
        return text if kind == "json" else cell_value(text.decode(), kind)
    raise NotAValue(f"{_shown(repr(result))} is not a single value", "use `| json` for lists and objects")


def _shown(cell: str) -> str:
    if not cell.strip():
        return "the empty cell"
    return repr(cell if len(cell) <= _MAX_SHOWN else cell[:_MAX_SHOWN] + "…")


def _remedy(text: str, kind: str) -> str:
    if text.lower() in {"true", "false", "null"}:
        return f"write {text.lower()} in small letters"
    if NUMBER.fullmatch(text.replace(",", ".")):
        return f"write {text.replace(',', '.')} with a point"
    if not text:
        return "fill the cell"
    if kind == "scalar":
        return "correct the cell, or put the slot in quotes if it is a text"
    return "correct the cell"
