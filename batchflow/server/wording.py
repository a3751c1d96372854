"""What the simulated model says in plain words: it speaks as the persona that the prompts describe and chooses among
the options that they quote. RESPONDER_VERSION is part of a run's scope: any change of this wording raises it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchflow.server.dice import Dice

_LOOKED_AT: Final = 1_000  # characters that are searched at each end of a prompt: documents may be long

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


@dataclass(frozen=True, slots=True)
class Prompts:
    """What the messages say: the standing instructions, and what is asked."""

    system: str
    user: str

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]]) -> "Prompts":
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


def _named(prompts: Prompts) -> re.Match[str] | None:
    """Where somebody is described by name."""
    for text in (prompts.system, prompts.user):
        for found in _NAMED.finditer(text) if " is a" in text else ():
            if found["name"].split(" ")[0] not in _NO_NAME:
                return found
    return None


def persona_name(prompts: Prompts) -> str:
    """The name of the persona; empty where nobody is described by name."""
    found = _named(prompts)
    return found["name"] if found else ""


def _persona(prompts: Prompts) -> str:
    """`As Hank Rodriguez, a 28 year old architect, `; empty where nobody is described."""
    if found := _named(prompts):
        return f"As {found['name']}, {found['what'].strip()}, "
    for text in (prompts.system, prompts.user):
        if "ou are" in text and (described := _YOU_ARE.search(text)):
            return f"As {described['what'].strip()}, "
    if spoken := shortened(prompts.system):
        return f"As asked (“{spoken}”), "
    return ""


def shortened(text: str, most: int = 80) -> str:
    """The first words of a text, on one line."""
    words = " ".join(text.split())
    return words if len(words) <= most else words[:most].rsplit(" ", 1)[0] + "…"


def _last_question(text: str) -> str:
    """The last sentence that ends in a question mark; empty if there is none."""
    end = max(text.rfind("?"), text.rfind("\uff1f"))
    start = max(text.rfind(mark, 0, max(end, 0)) for mark in _SENTENCE_ENDS) + 1
    return text[start : end + 1].strip()


def _hobby(prompts: Prompts) -> str:
    for text in (prompts.system, prompts.user):
        if any(word in text for word in ("enjoy", "like", "love")) and (found := _HOBBY.search(text)):
            return found["what"].strip()
    return ""


def options(prompts: Prompts) -> list[str]:
    """What the prompts quote, if it is more than one thing."""
    for text in (prompts.user, prompts.system):
        if not any(mark in text for mark in _QUOTES):
            continue
        quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
        offered = list(dict.fromkeys(option.strip() for option in quoted if option.strip()))
        if len(offered) > 1:
            return offered
    return []


def compose(prompts: Prompts, dice: Dice, chosen: str = "") -> str:
    """Two or three sentences; `chosen` = the option that is spoken for, drawn where it is empty."""
    persona = _persona(prompts)
    reasons = list(_REASONS)
    if liked := _hobby(prompts):
        reasons += [f"because it goes well with my love of {liked}", f"since it reminds me of {liked}, which I enjoy"]
    offered = options(prompts)
    if offered:
        chosen = chosen or dice.pick(offered)
        noun = _NOUN.search(prompts.user)
        compared = dice.pick(_COMPARED).format(other=dice.pick([option for option in offered if option != chosen]))
        kind = noun[1].lower() if noun else "option"
        said = f"I find the '{chosen}' {kind} most appealing, {dice.pick(reasons)}. {compared}"
    else:
        topic = shortened(_last_question(prompts.user) or prompts.user)
        about = f"on “{topic}” " if topic else ""
        said = f"{about}{dice.pick(_STANCES)}, {dice.pick(reasons)}."
    sentence = f"{persona}{said} {dice.pick(_CLOSINGS)}"
    return sentence[0].upper() + sentence[1:]
