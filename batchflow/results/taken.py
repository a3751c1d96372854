"""Answers taken over from another run: the raw line as it came, in a record that says whose answer it is here and where
it was bought.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchflow.identity import json_bytes
from batchflow.results.outcome import Answer

_LINE: Final = b',"line":'


def wrap(custom_id: str, origin: Mapping[str, Any], line: bytes) -> bytes:
    """The record of an answer taken over, line feed included. The line is kept to the byte."""
    head = json_bytes({"custom_id": custom_id, "taken_from": dict(origin)})
    return head[:-1] + _LINE + line + b"}\n"


def unwrap(record: bytes) -> tuple[str, Mapping[str, Any], bytes] | None:
    """custom_id here, where it was bought, and the raw line; None for a record that is none of ours."""
    head, found, rest = record.partition(_LINE)
    try:
        value = json.loads(head + b"}")
        return (value["custom_id"], value["taken_from"], rest[:-1]) if found else None
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class TakenJudge:
    """Judges records of answers taken over, by the rule of this run."""

    judge: Callable[[bytes], Answer | None]

    def __call__(self, record: bytes) -> Answer | None:
        found = unwrap(record)
        if found is None:
            return None
        custom_id, origin, line = found
        answer = self.judge(line)
        return (
            None if answer is None else answer._replace(custom_id=custom_id, taken_from=str(origin["run"]), plain=False)
        )
