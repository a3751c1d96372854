"""The text of a spec and the places in it: line, column and excerpt of a fault. Nothing secret leaves by an excerpt."""

import bisect
import re
from typing import Final

from batchflow.errors import Fault, redact

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
# compiled where a line is shown
_BEHIND_ITS_NAME: Final = (
    r"""(?i)((?:^|[\s{,"'])[\w-]*(?:api_?key|secret|password|token|authorization)["']?\s*:\s*)(?=\S)(?!\{).+$"""
)
_KEY_FOR_ITS_NAME: Final = r"""(api_key_env["']?\s*:\s*)(?!["']?[A-Z][A-Z0-9_]*["']?\s*(?:[,}#]|$))\S+"""
_IN_ADDRESS: Final = r"://[^/\s]*@"
# all that DuckDB trims: the space separators of Unicode
BLANKS: Final = " \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
USE_A_PLAIN_BLANK: Final = "replace it by a plain blank; texts that are copied from web pages often hold such ones"
_HIDDEN: Final = "[redacted]"
_LONGEST_SHOWN: Final = 5_000


def without_secrets(text: str) -> str:
    """One line of a spec as it may be shown: no keys, no passwords."""
    text = re.sub(_BEHIND_ITS_NAME, lambda match: match[1] + _HIDDEN, text)
    text = re.sub(_KEY_FOR_ITS_NAME, lambda match: match[1] + _HIDDEN, text)
    return redact(re.sub(_IN_ADDRESS, f"://{_HIDDEN}@", text))


class SourceText:
    """A text file as its user knows it: `file` is the path as it was typed; offsets count characters from 0. kind: what
    the file is to be, in the words of a fault.
    """

    def __init__(self, file: str, text: str, kind: str = "experiment") -> None:
        self.file, self.text, self.kind = file, text, kind
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._end = len(text.rstrip())

    @property
    def a_kind(self) -> str:
        return f"an {self.kind}" if self.kind[0] in "aeiou" else f"a {self.kind}"

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1; an offset behind the content gives the end of the content."""
        offset = max(0, min(offset, self._end))
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def offset(self, line: int) -> int:
        """Where a line begins."""
        return self._starts[line - 1]

    def line(self, number: int) -> str:
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def fault(self, offset: int, cause: str, remedy: str) -> Fault:
        line, column = self.position(offset)
        shown = self.line(line)
        if len(shown) > _LONGEST_SHOWN:  # nobody reads it, and a search for secrets in it takes long
            return Fault(self.file, cause, remedy, line, column)
        excerpt = without_secrets(shown)
        if excerpt[: column - 1] != shown[: column - 1]:
            column = min(column, len(excerpt) + 1)
        return Fault(self.file, cause, remedy, line, column, excerpt)
