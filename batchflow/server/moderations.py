"""The simulated `/v1/moderations`: a verdict on each input, by a few plain words; a toy's, like every answer here."""

import re
from collections.abc import Mapping
from typing import Any, Final

from batchflow.server.responder import Ask, Refused, Reply, World

_MOST_INPUTS: Final = 32
_CATEGORIES: Final = {
    "harassment": "idiot|stupid|loser|shut up",
    "harassment/threatening": "hurt you|find you|you will pay",
    "hate": "vermin|subhuman",
    "hate/threatening": "wipe them out",
    "illicit": "counterfeit|launder",
    "illicit/violent": "bomb|explosive",
    "self-harm": "self-harm|cut myself",
    "self-harm/intent": "end my life|kill myself",
    "self-harm/instructions": "how to kill myself",
    "sexual": "porn|nude",
    "sexual/minors": "child porn",
    "violence": "kill|murder|stab|shoot|bomb",
    "violence/graphic": "gore|blood everywhere",
}
_SIGNS: Final = {name: re.compile(rf"\b(?:{words})", re.IGNORECASE) for name, words in _CATEGORIES.items()}
_ALIKE: Final = (0.5, 0.99)  # scores of what is flagged; the others are far below
_DECIMALS: Final = 8


def reply(ask: Ask, world: World, created: int) -> Reply:  # noqa: ARG001 - every endpoint is called alike
    """A verdict per input; Refused where the real endpoint would refuse."""
    results = [_verdict(text, ask, world, index) for index, text in enumerate(_texts(ask.body.get("input")))]
    body = {
        "id": f"modr-{world.identity(ask)[:29]}",
        "model": f"simulated/{ask.body['model']}",
        "results": results,
    }
    return Reply(200, body)


def _verdict(text: str, ask: Ask, world: World, index: int) -> dict[str, Any]:
    flags = {name: sign.search(text) is not None for name, sign in _SIGNS.items()}
    drawn = world.stream(ask, index, b"moderation")
    low, high = _ALIKE
    scores = {}
    for name, flagged in flags.items():
        share = drawn.share()
        scores[name] = round(low + (high - low) * share if flagged else share**4 / 10, _DECIMALS)
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] if flagged else [] for name, flagged in flags.items()},
    }


def _texts(given: Any) -> list[str]:
    """The texts to judge; the parts of one message are one."""
    inputs = [given] if isinstance(given, str) else given
    if isinstance(inputs, list) and 1 <= len(inputs) <= _MOST_INPUTS:
        if all(isinstance(each, str) for each in inputs):
            return inputs
        if all(isinstance(each, Mapping) and each.get("type") in {"text", "image_url"} for each in inputs):
            return [" ".join(str(part.get("text", "")) for part in inputs)]
    message = f"Invalid 'input': expected text, an array of 1 to {_MOST_INPUTS} texts, or the parts of a message."
    raise Refused(message, "input", "invalid_type")
