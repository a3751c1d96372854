"""The registry of crash windows: moments at which dying must be harmless.

A test names one in BATCHFLOW_FAILPOINT (`start.after-create`, or `start.after-create:2` for its second passing) and
the process kills itself there with SIGKILL, as a power cut would. CONTRIBUTING.md holds the crash table of these names.
"""

import os
import signal
from typing import Final

VARIABLE: Final = "BATCHFLOW_FAILPOINT"

NAMES: Final[tuple[str, ...]] = (
    "build.before-publish",
    "build.after-publish",
    "round.before-publish",
    "round.after-publish",
    "journal.before-append",
    "journal.torn-append",
    "journal.after-append",
    "upload.before-call",
    "upload.after-call",
    "upload.after-event",
    "start.before-intent",
    "start.after-intent",
    "start.after-create",
    "start.after-receipt",
    "recovery.before-adopt",
    "recovery.before-absent",
    "poll.before-event",
    "cancel.after-event",
    "cancel.after-call",
    "collect.before-publish",
    "collect.between-files",
    "collect.after-publish",
    "collect.after-event",
    "load.before-commit",
    "load.after-commit",
    "run.before-finish",
    "delete.before-call",
    "delete.after-call",
    "delete.after-event",
    "forget.before-rows",
    "forget.after-rows",
)

_passed: dict[str, int] = {}


def armed(name: str) -> bool:
    """Whether this passing of the window is the one at which the process must die."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return False
    target, _, ordinal = wanted.partition(":")
    if target != name:
        return False
    _passed[name] = _passed.get(name, 0) + 1
    return _passed[name] == int(ordinal or 1)


def hit(name: str) -> None:
    """Pass the named crash window; dies here if a test armed it."""
    assert name in NAMES, name  # noqa: S101 - a misspelt window would never be tested
    if armed(name):
        die()


def die() -> None:
    """End this process as a power cut would: no clean-up, no buffers written."""
    os.kill(os.getpid(), signal.SIGKILL)
