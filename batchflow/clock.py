"""The only module that knows time. Durations are seconds; wall times are UTC."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Wall time, for people and records; never for measuring."""
    return datetime.now(UTC)


def stamp(moment: datetime | None = None) -> str:
    """ISO 8601 with milliseconds and Z, as in the journal."""
    return (moment or now()).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix() -> float:
    """Seconds since 1970, as the Batch API writes them."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that never jumps; for every wait and every comparison of two moments."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)
