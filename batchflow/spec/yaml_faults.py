"""What is wrong with a text that is no YAML, in plain words; the text is looked at where the parser's words mislead."""

import re
from typing import Final

import yaml

from batchflow.errors import Fault
from batchflow.spec.source_text import BLANKS, USE_A_PLAIN_BLANK, SourceText

SLOT: Final = re.compile(r"\{\{[^{}\n]*\}\}")

_BARE_SLOT: Final = r"""(?P<before>[^"'#:\n{]*(?:: *\{[^"'#:\n]*)?(?::|-) +)(?P<value>\{\{[^{}\n]*\}\}.*)"""
_NOT_PRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# before what looks like a key or a member of a list
_ODD_BLANK: Final = rf"(?P<before> *)(?P<blank>[{BLANKS[1:]}])[{BLANKS}]*(?:- |[\w\"'-]+ *:)"
_CONFLICT: Final = re.compile(r"^<{7}(?: .*)?$", re.MULTILINE)
_CONFLICT_END: Final = r"(?m)^>{7}(?: |$)"
_QUOTES: Final = 'put the whole text in quotes: "…"'


class NotReadable(Exception):
    """The text cannot be read as YAML at all; load.py turns it into a SpecError."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.cause)
        self.fault = fault


def refuse_damaged(source: SourceText) -> None:
    """Raises NotReadable for a text that no parser need see: control characters, an unfinished merge."""
    conflict = _CONFLICT.search(source.text)
    if conflict and re.compile(_CONFLICT_END).search(source.text, conflict.end()):
        raise NotReadable(
            source.fault(
                conflict.start(),
                "two versions of the file are mixed here: a merge was not finished",
                "keep one version and remove the lines that begin with <<<<<<<, ======= and >>>>>>>",
            )
        )
    odd = _NOT_PRINTABLE.search(source.text)
    if odd:
        raise NotReadable(
            source.fault(
                odd.start(),
                f"the character U+{ord(odd[0]):04X} cannot stand in {source.a_kind} file",
                f'remove it; in a text in double quotes it can be written as "\\u{ord(odd[0]):04x}"',
            )
        )


def explain_syntax(source: SourceText, error: yaml.YAMLError) -> Fault:
    """The parser's error as a fault at the place where a person would mend it."""
    problem = str(getattr(error, "problem", None) or "it cannot be read")
    begun, met = _offset(error, "context_mark"), _offset(error, "problem_mark")
    offset = met if met is not None else begun or 0
    better = _bare_slot_before(source, offset) or _odd_blank(source, offset)
    if better is not None:
        return better
    if "quoted scalar" in str(getattr(error, "context", "")) and "end of stream" in problem:
        return source.fault(
            begun or 0,
            "a quote is opened here and never closed",
            'close it; within double quotes write \\" for a quote',
        )
    if "directive" in str(getattr(error, "context", "")):
        problem = "directive"
    return _at_the_place(source, problem, offset) or _by_the_problem(source, problem, begun, offset)


def _odd_blank(source: SourceText, offset: int) -> Fault | None:
    """The fault where what stands at a place, or just above, is indented by blanks that YAML does not take for such."""
    number, _ = source.position(offset)
    for line in (number, number - 1):
        match = re.match(_ODD_BLANK, source.line(line)) if line >= 1 else None
        if match:
            return source.fault(
                source.offset(line) + match.start("blank"),
                f"the blank U+{ord(match['blank']):04X} stands in the indentation; YAML takes plain blanks only",
                USE_A_PLAIN_BLANK,
            )
    return None


def _offset(error: yaml.YAMLError, name: str) -> int | None:
    mark = getattr(error, name, None)
    return None if mark is None else int(mark.index)


def _bare_slot_before(source: SourceText, offset: int) -> Fault | None:
    """`user: {{ Name }} and more` breaks the parser only after the slot, often in the next line."""
    number, _ = source.position(offset)
    for line in (number, number - 1):
        match = re.match(_BARE_SLOT, source.line(line)) if line >= 1 else None
        if match:
            slot, value = SLOT.match(match["value"]), match["value"].rstrip()
            start = source.offset(line) + match.start("value")
            cause = f"{slot[0] if slot else value} stands here without quotes, so that YAML takes it for a mapping"
            simple = '"' not in value and "{" not in match["before"]
            return source.fault(start, cause, f'put the whole value in quotes: "{value}"' if simple else _QUOTES)
    return None


def _at_the_place(source: SourceText, problem: str, offset: int) -> Fault | None:
    """Faults that the character at the place tells better than the parser."""
    _, column = source.position(offset)
    before = source.text[offset - column + 1 : offset]
    rest = source.text[offset : offset + 1]
    if (
        "tab" in problem
        or (rest == "\t" and "cannot start any token" in problem)
        or ("\t" in before and not before.strip())
    ):
        return source.fault(
            offset, "a tab stands in the indentation; YAML takes blanks only", "replace each tab by two blanks"
        )
    if "cannot start any token" in problem:
        return source.fault(offset, f"a text cannot begin with `{rest}` without quotes", _QUOTES)
    if "mapping values are not allowed" in problem:
        return source.fault(
            offset,
            "a second `: ` in one line: YAML takes it for another key",
            f"if it belongs to a text, {_QUOTES}; else check the indentation",
        )
    if "alphabetic or numeric character" in problem:
        return source.fault(max(0, offset - 1), "a text cannot begin with `*` or `&` without quotes", _QUOTES)
    if "escape character" in problem:
        return source.fault(
            offset,
            "this backslash means nothing to YAML within double quotes",
            "write \\\\ for a backslash, or use single quotes",
        )
    return None


_BY_PROBLEM: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "could not find expected ':'",
        "this line is no `key: value`",
        "add the `:` after the key; indent or quote the line if it goes on with a text",
    ),
    (
        "did not find expected ',' or",
        "the bracket opened here is not closed where YAML expects it",
        "close it, and separate its members by commas",
    ),
    (
        "did not find expected node content",
        "a value or a closing bracket is missing here",
        "close each bracket, and write a value after each `:` and `,`",
    ),
    (
        "document start",
        "the file goes on where YAML thinks it has ended",
        "remove lines such as `...`, and begin all top-level keys in the first column",
    ),
    (
        "directive",
        "a line that begins with % is an instruction to YAML readers",
        "remove the line, or put the text in quotes",
    ),
    ("escape code", "this escape stands for no character", "write the character itself"),
    ("block sequence entries", "a list cannot begin here", "begin it in a line of its own, below its key"),
)


def _by_the_problem(source: SourceText, problem: str, begun: int | None, offset: int) -> Fault:
    for words, cause, remedy in _BY_PROBLEM:
        if words in problem:
            return source.fault(begun if begun is not None else offset, cause, remedy)
    if "did not find expected" in problem:
        line = source.position(begun or 0)[0]
        return source.fault(
            offset,
            f"this does not continue what begins in line {line}: indentation or quotes are wrong here or just above",
            "keys of one mapping begin in the same column; a text that holds quotes goes into quotes of the other kind",
        )
    return source.fault(
        offset, f"this is no YAML: {problem}", "check this line and the one above: indentation, quotes, brackets"
    )
