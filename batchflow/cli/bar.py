"""A bar on a terminal while rows or bytes are worked through, if that takes a while; nothing where nobody looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, Final

from batchflow.errors import escape_controls

if TYPE_CHECKING:
    from rich.progress import Progress

BUILDING: Final = "building the requests, row by row"
QUIET: Final = 1.0  # seconds of work before anything is said of it


class _Bar:
    """What is done, shown from `begin` on."""

    def __init__(self, words: str) -> None:
        self._words, self._done, self._total = words, 0, 0
        self._shown: Progress | None = None

    def begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        words = TextColumn("{task.description}", markup=False)
        columns = (words, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        shown = Progress(*columns, console=Console(stderr=True), transient=True)
        shown.start()
        shown.add_task(escape_controls(self._words), completed=self._done, total=self._total or None)
        self._shown = shown

    def told(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        if self._shown is not None:
            self._shown.update(self._shown.task_ids[0], completed=done, total=total or None)

    def end(self) -> None:
        if self._shown is not None:
            self._shown.stop()


@contextmanager
def bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told how much is done, and of how much."""
    shown = _Bar(words)
    begin = Timer(QUIET, shown.begin)
    begin.daemon = True
    if sys.stderr.isatty():
        begin.start()
    try:
        yield shown.told
    finally:
        begin.cancel()
        if begin.is_alive():
            begin.join()
        shown.end()
