"""What can go wrong, and how it is said. Imports nothing of ours, so that every layer may raise it.

BatchflowError
├── UsageError               2  the command cannot be carried out as it was typed
├── InvalidInput             3  carries Faults: where, what, how to mend it
│   ├── SpecError               the experiment file
│   ├── TemplateError           the prompt template
│   └── DataError               the table, or a row rendered with it
├── SetupError               3  the machine or its settings: a key, a disk, a missing file
├── ProviderError            6  the provider refused, or cannot be trusted to show our batches
│   ├── ProviderRefused         a plain 4xx: what was asked did not happen
│   ├── ProviderDoubt           no readable answer: it may have happened
│   ├── ProviderUntrusted       waiting cannot tell us which batches are ours
│   └── BatchRejected           a batch failed validation for a cause of ours
├── SinkError                5  the results database does not do what it should
│   └── DatabaseHeld            another program holds it; the answers are safe
├── RunBusy                  7  another writer advances this run, or another run holds these requests
├── OverBudget               8  what is about to be sent could cost more than the spec allows
├── JournalDamaged           9  the record of a run is broken in the middle
└── Interrupted            130  Ctrl-C, SIGTERM or SIGHUP; resumable
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar, NamedTuple


class ExitStatus(IntEnum):
    """The exit statuses of the command line; design.md section 8."""

    COMPLETE = 0  # every request answered
    BUG = 1
    USAGE = 2  # also: no terminal and no --yes
    INVALID = 3  # spec, data or environment wrong; nothing sent
    ENDED_SHORT = 4  # ended; some requests have another final outcome or stay owed
    UNFINISHED = 5  # --no-wait, --until, or the answers are not in the database
    PROVIDER = 6
    BUSY = 7
    OVER_BUDGET = 8  # nothing more was sent
    JOURNAL_DAMAGED = 9
    INTERRUPTED = 130


class BatchflowError(Exception):
    """Base of all: a stable code, a message, and a hint that says what to do next."""

    code: ClassVar[str] = "internal-error"
    exit_status: ClassVar[ExitStatus] = ExitStatus.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def text(self) -> str:
        """The whole error as a person reads it, without colour."""
        lines = [f"error[{self.code}]: {self.message}"]
        if self.hint:
            lines += ["", f"hint: {self.hint}"]
        return redact("\n".join(lines))


class UsageError(BatchflowError):
    code = "usage"
    exit_status = ExitStatus.USAGE


class Fault(NamedTuple):
    """One thing wrong in a file of the user's: where (line and column count from 1), what, and the way out."""

    file: str
    cause: str
    remedy: str
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None

    def where(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def text(self) -> str:
        lines = [f"{self.where()}: {self.cause}"]
        if self.excerpt is not None and self.line is not None:
            gutter = f"{self.line:>5} | "
            shown, column = _clip(self.excerpt.replace("\t", " "), self.column)
            lines.append(gutter + escape_controls(shown))
            if column is not None:
                lines.append(" " * (len(gutter) - 2) + "| " + " " * (column - 1) + "^")
        if self.remedy:
            lines.append(f"      remedy: {self.remedy}")
        return "\n".join(lines)


def _clip(text: str, column: int | None, width: int = 100) -> tuple[str, int | None]:
    """A window of a long line that still shows the column."""
    if len(text) <= width:
        return text, column
    start = max(0, (column or 1) - width // 2)
    return ("…" if start else "") + text[
        start : start + width
    ] + "…", None if column is None else column - start + bool(start)


class InvalidInput(BatchflowError):
    """Something of the user's is wrong; nothing was sent. Carries every fault that was found.

    total: how many there are, if not all are carried. could_send: whether that nothing was sent has to be said; there
    are commands that never send.
    """

    code = "invalid-input"
    exit_status = ExitStatus.INVALID
    could_send = True

    def __init__(self, faults: Sequence[Fault], *, hint: str = "", total: int = 0) -> None:
        super().__init__("; ".join(f"{fault.where()}: {fault.cause}" for fault in faults), hint=hint)
        self.faults = tuple(faults)
        self.total = max(total, len(self.faults))

    def text(self) -> str:
        head = f"error[{self.code}]: {self.total:,} fault{'s' if self.total != 1 else ''} found"
        head += ", nothing was sent" if self.could_send else ""
        head += f"; the first {len(self.faults)} are shown" if self.total > len(self.faults) else ""
        parts = [head, *(fault.text() for fault in self.faults)]
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return redact("\n\n".join(parts))


class SpecError(InvalidInput):
    code = "spec-invalid"


class TemplateError(InvalidInput):
    code = "template-invalid"


class DataError(InvalidInput):
    code = "data-invalid"


class SetupError(BatchflowError):
    """The machine or its settings: a key, a disk, a file of ours that is gone."""

    code = "environment"
    exit_status = ExitStatus.INVALID


class ProviderError(BatchflowError):
    code = "provider"
    exit_status = ExitStatus.PROVIDER


class ProviderRefused(ProviderError):
    """A plain 4xx: what was asked did not happen.

    status is the HTTP status; provider_code and provider_message are the provider's own words; retry_after is in
    seconds where the provider named a time.
    """

    code = "provider-refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        provider_code: str = "",
        provider_message: str = "",
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.provider_code = provider_code
        self.provider_message = provider_message
        self.retry_after = retry_after

    @property
    def needs_human(self) -> bool:
        """True where no waiting helps: the key, its rights, or the account's money."""
        return self.status in {401, 403} or self.provider_code in NEEDS_HUMAN


NEEDS_HUMAN = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


class ProviderDoubt(ProviderError):
    """No readable answer (time-out, cut connection, 408, 409, 5xx, broken body): it may have happened."""

    code = "provider-doubt"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ProviderUntrusted(ProviderError):
    code = "provider-untrusted"


class BatchRejected(ProviderError):
    code = "batch-rejected"


class SinkError(BatchflowError):
    """The answers are safe in the run's folder; they are not, or not all, in the tables."""

    code = "sink"
    exit_status = ExitStatus.UNFINISHED


class DatabaseHeld(SinkError):
    code = "database-held"


class RunBusy(BatchflowError):
    code = "run-busy"
    exit_status = ExitStatus.BUSY


class OverBudget(BatchflowError):
    """What is about to be sent could cost more than the spec's budget, or nobody knows what it could cost."""

    code = "over-budget"
    exit_status = ExitStatus.OVER_BUDGET


class JournalDamaged(BatchflowError):
    code = "journal-damaged"
    exit_status = ExitStatus.JOURNAL_DAMAGED


class Interrupted(BatchflowError):
    code = "interrupted"
    exit_status = ExitStatus.INTERRUPTED


_SECRET_NAME = re.compile(r"(_API_KEY|_ADMIN_KEY|_SECRET|_TOKEN|_PASSWORD)$")
_SECRET_TEXT = re.compile(r"\bsk-[A-Za-z0-9_-]{8,}|(?<=[Bb]earer )[^\s\"',;]+")
_REDACTED = "[redacted]"


@lru_cache
def _names_a_secret(name: str) -> bool:
    return _SECRET_NAME.search(name.upper()) is not None


def known_secrets() -> list[str]:
    """The values of secrets in the environment, the longest first: a secret may begin with another one."""
    values = {os.environ[name] for name in os.environ if _names_a_secret(name)}
    worth = [value for value in values if len(value) >= 8]  # noqa: PLR2004 - shorter ones would blank common words
    return sorted(worth, key=len, reverse=True)


def looks_secret(text: str) -> bool:
    """Whether something in it looks like a secret: an `sk-…` key, a bearer token."""
    return _SECRET_TEXT.search(text) is not None


def redactor(*, forms: bool = True) -> Callable[[str], str]:
    """A function that takes secrets out of many texts, built from the environment as it is now.

    forms: also what only looks like a secret (`sk-…` keys, bearer tokens); without it, as for the words of a model,
    only the values of environment variables that are named like one go.
    """
    secrets = known_secrets()

    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, _REDACTED)
        return _SECRET_TEXT.sub(_REDACTED, text) if forms else text

    return clean


def redact(text: str) -> str:
    """The text without secrets: values of environment variables named like one, `sk-…` keys, bearer tokens.

    Stands before every output of ours: terminal, journal, manifest, database, logs.
    """
    return redactor()(text)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in {0x09, 0x0A}}
_CONTROLS |= {
    code: f"\\u{code:04x}"
    # line separators, and all that turns the direction of a text
    for code in (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")  # what JSON itself leaves as it is


def escape_controls(text: str) -> str:
    """The text with control characters shown, never executed, by a terminal; tab and newline stay."""
    return text.translate(_CONTROLS)


def escape_in_json(text: str) -> str:
    """JSON that says the same, without what a terminal would obey."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def context_line(values: Mapping[str, object]) -> str:
    """`key=value` pairs for the end of a message, empty values left out."""
    return ", ".join(f"{key}={value}" for key, value in values.items() if value not in (None, ""))
