"""The simulated model: varied, plausible text made from a request's own words, the same for the same request.

What is said depends on body bytes, seed and draw alone, never on time or order. It speaks as the persona that the
prompts describe and chooses among the options that they quote. RESPONDER_VERSION is part of a run's scope: any
change of the wording raises it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeVar

from batchflow.identity import LOCAL_RESPONDER, LOCAL_RESPONDER_VERSION

RESPONDER: Final = LOCAL_RESPONDER
RESPONDER_VERSION: Final = LOCAL_RESPONDER_VERSION

OUTCOMES: Final = ("refusal", "truncated", "filtered", "empty")

_BYTES_PER_TOKEN: Final = 4
_LOOKED_AT: Final = 1_000  # characters that are searched at each end of a prompt: documents may be long
_MOST_CHOICES: Final = 128

_NAMED: Final = re.compile(
    r"(?<!\w)(?P<name>[A-ZÀ-ÖØ-Þ][\w'\u2019-]{0,30}(?: [A-ZÀ-ÖØ-Þ][\w'\u2019.-]{0,30}){0,3})"
    r" is (?P<what>an? [^\n.;!?]{3,200})"
)
_YOU_ARE: Final = re.compile(r"\b[Yy]ou are(?: now)?:? +(?P<what>[^\n.;!?]{3,200})")
_NO_NAME: Final = frozenset(
    {"This", "It", "Here", "There", "That", "The", "What", "Who", "He", "She", "They", "Which", "Today", "Your"}
)
_HOBBY: Final = re.compile(r"\b(?:enjoys|enjoy|likes|loves|love) (?P<what>[^\n.,;!?]{2,60})")
_QUOTED: Final = re.compile(
    r"(?<!\w)(?:'([^'\n]{1,60})'(?!\w)|\"([^\"\n]{1,60})\"|“([^“”\n]{1,60})”|„([^„“”\n]{1,60})[“”]|«([^«»\n]{1,60})»|\u2018([^\u2018\u2019\n]{1,60})\u2019(?!\w))"
)
_QUOTES: Final = "'\"\u2018\u201c\u201e\u00ab"
_SENTENCE_ENDS: Final = ".!?\uff1f\n"
_NOUN: Final = re.compile(
    r"\b(image|picture|photo|package|design|product|brand|title|answer|statement|category|label)s?\b", re.IGNORECASE
)

_REASONS: Final = (
    "because its mood comes closest to how I see my own days",
    "since it stood out at first glance and still does",
    "because it feels honest and does not try too hard",
    "as its colours and its shape work well together",
    "because I could imagine having it at home",
    "since it tells a small story that I want to hear the end of",
    "because it is the one that I would show to a friend",
    "as it is simple and yet not dull",
)
_COMPARED: Final = (
    "'{other}' seems a little too loud to me.",
    "'{other}' is pleasant, but I would forget it soon.",
    "I can see why others would take '{other}', it just is not me.",
    "Next to it, '{other}' looks somewhat ordinary.",
    "I hesitated over '{other}' for a moment.",
)
_STANCES: Final = (
    "I would say yes, on the whole",
    "it depends, but I lean towards what I already know",
    "my first thought is the simplest one",
    "I would go for the one with more character",
    "I am of two minds, with a slight preference for the familiar",
    "I have a clear favourite, and it has not changed in years",
)
_CLOSINGS: Final = (
    "That is simply how it strikes me.",
    "I might see it otherwise on another day.",
    "I would not need long to decide.",
    "My friends would probably agree.",
    "Price would matter to me as well.",
    "I did not have to think about it for long.",
)

Item = TypeVar("Item")


class _Dice:
    """Choices drawn from a hash: the same on every machine and Python version, unlike `random`."""

    def __init__(self, *parts: bytes) -> None:
        self._value = int.from_bytes(sha256(b"\0".join(parts)).digest())

    def pick(self, items: Sequence[Item]) -> Item:
        self._value, index = divmod(self._value, len(items))
        return items[index]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: its body, the bytes of it, and the ordinal among equal bodies of its batch."""

    body: Mapping[str, Any]
    body_bytes: bytes
    draw: int
    outcome: str = ""  # one of OUTCOMES where a fault asks for it
    suffix: str = ""  # text that a fault wants in the answer


@dataclass(frozen=True, slots=True)
class Reply:
    """What the endpoint answers: HTTP status and body, and the tokens it counts."""

    status: int
    body: dict[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Simulator:
    """Answers chat completions; `seed` gives another world of the same people."""

    def __init__(self, seed: int) -> None:
        self._seed = b"simulate %d %d" % (RESPONDER_VERSION, seed)

    def reply(self, ask: Ask, created: int) -> Reply:
        """What the endpoint says. `created` is in unix seconds, shown and nothing else."""
        if fault := _unanswerable(ask.body):
            return Reply(400, {"error": fault})
        prompts = _Prompts.of(ask.body["messages"])
        limit = _limit(ask.body)
        asked_for = sha256(ask.body_bytes).digest()
        choices: list[dict[str, Any]] = []
        spent = 0
        for index in range(_count(ask.body)):
            dice = _Dice(self._seed, b"%d %d" % (ask.draw, index), asked_for)
            choice, tokens = _choice(index, _compose(prompts, dice) + ask.suffix, ask.outcome, limit)
            choices.append(choice)
            spent += tokens
        asked = _tokens(len(ask.body_bytes))
        identity = sha256(self._seed + b"%d" % ask.draw + asked_for).hexdigest()
        body = {
            "id": f"chatcmpl-{identity[:29]}",
            "object": "chat.completion",
            "created": created,
            "model": f"simulated/{ask.body['model']}",
            "choices": choices,
            "usage": _usage(asked, spent),
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }
        return Reply(200, body, asked, spent)


def _unanswerable(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The error of a body that the real endpoint, or this version of the simulator, would refuse."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        return _error("Invalid type for 'messages': expected a non-empty array of objects.", "messages", "invalid_type")
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type", "text") != "text":
        return _error(
            "The local simulator answers plain text only in this version.", "response_format", "unsupported_value"
        )
    return None


def _error(message: str, param: str, code: str) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def _count(body: Mapping[str, Any]) -> int:
    wanted = body.get("n")
    return wanted if type(wanted) is int and 1 <= wanted <= _MOST_CHOICES else 1


def _limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens an answer may have, if the request names a number."""
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if type(limit) is int and limit > 0:
            return limit
    return None


def _tokens(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)


def _usage(asked: int, spent: int) -> dict[str, Any]:
    return {
        "prompt_tokens": asked,
        "completion_tokens": spent,
        "total_tokens": asked + spent,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choice(index: int, text: str, outcome: str, limit: int | None) -> tuple[dict[str, Any], int]:
    """One choice of the answer, and the tokens it took."""
    content: str | None = text
    refusal: str | None = None
    reason = "stop"
    if outcome == "refusal":
        content, refusal = None, "I'm sorry, but I can't help with that request."
    elif outcome == "empty":
        content = ""
    elif outcome == "filtered":
        content, reason = text[: len(text) // 3], "content_filter"
    elif outcome == "truncated" or (limit is not None and _tokens(len(text.encode(errors="replace"))) > limit):
        kept = len(text) // 2 if limit is None else min(limit * _BYTES_PER_TOKEN, len(text) // 2)
        content, reason = text[:kept], "length"
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    spent = _tokens(len((content or refusal or "").encode(errors="replace")))
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}, spent


@dataclass(frozen=True, slots=True)
class _Prompts:
    """What the messages say: the standing instructions, and what is asked."""

    system: str
    user: str

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]]) -> "_Prompts":
        told: dict[bool, list[str]] = {True: [], False: []}
        for message in messages:
            told[message.get("role") in ("system", "developer")].append(_text_of(message.get("content")))
        return cls(*(_ends("\n".join(told[instructions])) for instructions in (True, False)))


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _LOOKED_AT else f"{text[:_LOOKED_AT]}\n{text[-_LOOKED_AT:]}"


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _persona(prompts: _Prompts) -> str:
    """`As Hank Rodriguez, a 28 year old architect, `; empty where nobody is described."""
    for text in (prompts.system, prompts.user):
        for found in _NAMED.finditer(text) if " is a" in text else ():
            if found["name"].split(" ")[0] not in _NO_NAME:
                return f"As {found['name']}, {found['what'].strip()}, "
    for text in (prompts.system, prompts.user):
        if "ou are" in text and (described := _YOU_ARE.search(text)):
            return f"As {described['what'].strip()}, "
    if spoken := _shortened(prompts.system):
        return f"As asked (“{spoken}”), "
    return ""


def _shortened(text: str, most: int = 80) -> str:
    """The first words of a text, on one line."""
    words = " ".join(text.split())
    return words if len(words) <= most else words[:most].rsplit(" ", 1)[0] + "…"


def _last_question(text: str) -> str:
    """The last sentence that ends in a question mark; empty if there is none."""
    end = max(text.rfind("?"), text.rfind("\uff1f"))
    start = max(text.rfind(mark, 0, max(end, 0)) for mark in _SENTENCE_ENDS) + 1
    return text[start : end + 1].strip()


def _hobby(prompts: _Prompts) -> str:
    for text in (prompts.system, prompts.user):
        if any(word in text for word in ("enjoy", "like", "love")) and (found := _HOBBY.search(text)):
            return found["what"].strip()
    return ""


def _options(prompts: _Prompts) -> list[str]:
    for text in (prompts.user, prompts.system):
        if not any(mark in text for mark in _QUOTES):
            continue
        quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
        options = list(dict.fromkeys(option.strip() for option in quoted if option.strip()))
        if len(options) > 1:
            return options
    return []


def _compose(prompts: _Prompts, dice: _Dice) -> str:
    persona = _persona(prompts)
    reasons = list(_REASONS)
    if liked := _hobby(prompts):
        reasons += [f"because it goes well with my love of {liked}", f"since it reminds me of {liked}, which I enjoy"]
    options = _options(prompts)
    if options:
        chosen = dice.pick(options)
        noun = _NOUN.search(prompts.user)
        compared = dice.pick(_COMPARED).format(other=dice.pick([option for option in options if option != chosen]))
        kind = noun[1].lower() if noun else "option"
        said = f"I find the '{chosen}' {kind} most appealing, {dice.pick(reasons)}. {compared}"
    else:
        topic = _shortened(_last_question(prompts.user) or prompts.user)
        about = f"on “{topic}” " if topic else ""
        said = f"{about}{dice.pick(_STANCES)}, {dice.pick(reasons)}."
    sentence = f"{persona}{said} {dice.pick(_CLOSINGS)}"
    return sentence[0].upper() + sentence[1:]
