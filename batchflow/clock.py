"""The only module that knows time. Durations are seconds; wall times are UTC."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Wall time, for people and records; never for measuring."""
    return datetime.now(UTC)


def stamp(moment: datetime | None = None) -> str:
    """ISO 8601 with milliseconds and Z, as in the journal."""
    return (moment or now()).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parsed(text: str) -> datetime:
    """The moment that `stamp` wrote."""
    return datetime.fromisoformat(text)


def unix() -> float:
    """Seconds since 1970, as the Batch API writes them."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that never jumps; for every wait and every comparison of two moments."""
    return time.monotonic()


class Clock:
    """The clock of a server that rehearses: it runs `speed` times as fast as ours, from the moment `start` on (unix
    seconds; None: now). People are waited for by the functions of this module, never by this clock.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        self.speed = speed
        self._start = unix() if start is None else start
        self._began = monotonic()

    def unix(self) -> float:
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """Its own seconds since it was made."""
        return (monotonic() - self._began) * self.speed


def sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)
