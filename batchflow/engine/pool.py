"""The threads that do HTTP and nothing else. Results come back through one queue to the thread that decides."""

import queue
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class Done:
    """A call that has ended, with its result or its error."""

    key: Hashable
    result: Any = None
    error: BaseException | None = None


class HttpPool:
    """Runs calls on at most `THREADS` daemon threads, so that a hanging call never keeps the process alive."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Hashable, Callable[[], Any]]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._threads = 0
        self.busy: set[Hashable] = set()

    def submit(self, key: Hashable, call: Callable[[], Any]) -> None:
        """Queue a call under a key that no running call has."""
        self.busy.add(key)
        if self._threads < min(THREADS, len(self.busy)):
            self._threads += 1
            threading.Thread(target=self._work, name=f"http-{self._threads}", daemon=True).start()
        self._calls.put((key, call))

    def wait(self, seconds: float) -> list[Done]:
        """What has ended; blocks up to the given time for the first."""
        ended: list[Done] = []
        try:
            ended.append(self._done.get(timeout=max(0.0, seconds)))
            while True:
                ended.append(self._done.get_nowait())
        except queue.Empty:
            pass
        self.busy -= {done.key for done in ended}
        return ended

    def _work(self) -> None:
        while True:
            key, call = self._calls.get()
            try:
                done = Done(key, call())
            except BaseException as error:  # noqa: BLE001 - it is raised again, or judged, in the main thread
                done = Done(key, error=error)
            self._done.put(done)
