"""A bar on a terminal while rows or bytes are worked through; nothing where nobody looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchflow.errors import escape_controls


@contextmanager
def bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told how much is done, and of how much."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(escape_controls(words), total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
