"""Ctrl-C, SIGTERM and SIGHUP: in the engine they end a run in order, elsewhere the command where it stands."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from batchflow.cli import render
from batchflow.errors import Interrupted

_Handlers = dict[signal.Signals, Any]


class Interruptible:
    """The time around the engine. Leaving it after a signal raises Interrupted, whatever the signal broke off.

    sent: whether the engine was let loose, so that something may have left this machine.
    """

    def __init__(self) -> None:
        self.sent = False
        self._told = ""
        self._before: _Handlers = {}

    def check(self) -> None:
        """Raises KeyboardInterrupt after a signal that got lost: a library may swallow what a handler raises."""
        if self._told:
            raise KeyboardInterrupt

    def _tell(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._told = signal.Signals(number).name
        raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._before = _catch(self._tell)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _put_back(self._before)
        if not self._told:
            return
        if sys.stderr.isatty():
            render.note("")  # the cursor may stand behind a question
        word = "what was sent is on record" if self.sent else "nothing was sent"
        raise Interrupted(
            f"interrupted by {self._told}, {word}", hint="run the same command again to go on from here"
        ) from error


@contextmanager
def ending_in_order() -> Iterator[Any]:
    """The engine's signals: the first one is told to its loop, a second one ends it at once."""
    from batchflow.engine.runner import GRACE, Signals

    told = Signals()

    def tell(number: int, frame: FrameType | None) -> None:
        del frame
        if told.name:
            raise KeyboardInterrupt  # as harmless as a crash, which every window is made for
        told.name = signal.Signals(number).name
        word = f"\n{told.name}: finishing the calls in flight, {GRACE:.0f} s at most; once more leaves at once\n"
        with suppress(OSError):
            os.write(2, word.encode())  # a stream may be in the middle of a write of its own

    before = _catch(tell)
    try:
        yield told
    finally:
        _put_back(before)


def _catch(tell: Callable[[int, FrameType | None], None]) -> _Handlers:
    """Handle the signals; returns what was there before. What `nohup` has turned off stays so."""
    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    return {number: signal.signal(number, tell) for number in caught}


def _put_back(before: _Handlers) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
