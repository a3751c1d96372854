"""How long batches and rows take: a delay for all of them, or one drawn for each from the seed."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from batchflow.errors import UsageError
from batchflow.server.store import StoredBatch

CHUNK: Final = 500  # rows that are read, executed and committed together
VALIDATED: Final = 0.2  # shares of the delay: validation ends not before the first,
EXECUTED: Final = 0.8  # execution not before the second
_PASSES_PER_SECOND: Final = 10  # a slow server executes in chunks that small
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LATENCY: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])(?:\.\.(\d+(?:\.\d+)?)([smhd]))?")


@dataclass(frozen=True, slots=True)
class Pace:
    """delay = seconds that a batch takes at least; rows_per_second = the most that all batches execute together; both
    by the server's clock, which runs `speed` times as fast as ours. latency = from and to: each batch draws its delay
    from there, and its rows are spread over it.
    """

    delay: float
    rows_per_second: float
    latency: tuple[float, float] | None = None
    seed: int = 0
    speed: float = 1.0

    @property
    def chunk(self) -> int:
        return int(max(1, min(CHUNK, self.rows_per_second * self.speed / _PASSES_PER_SECOND)))

    def delay_of(self, batch: StoredBatch) -> float:
        """Seconds that this batch takes at least."""
        if self.latency is None:
            return self.delay
        least, most = self.latency
        return least + (most - least) * self._drawn(batch, "batch")

    def due(self, batch: StoredBatch, now: float, share: float) -> bool:
        return now >= batch.created + share * self.delay_of(batch)

    def reached(self, batch: StoredBatch, now: float) -> int:
        """The ordinal of the last row that may have been executed by now. Early or late rows: each batch has its own
        bend, so that its counts go up neither at once nor evenly.
        """
        if self.latency is None:
            return batch.total
        share = (now - batch.created) / max(self.delay_of(batch), 1e-9)
        passed = min(1.0, max(0.0, (share - VALIDATED) / (EXECUTED - VALIDATED)))
        return int(batch.total * passed ** (0.5 + 1.5 * self._drawn(batch, "rows")))

    def _drawn(self, batch: StoredBatch, what: str) -> float:
        digest = sha256(f"{self.seed}/{what}/{batch.number}".encode()).digest()[:8]
        return int.from_bytes(digest) / 2**64


def parse_latency(text: str | None) -> tuple[float, float] | None:
    """`5s..20m`, or `90s` for always the same; units s, m, h, d. Raises UsageError."""
    if text is None:
        return None
    found = _LATENCY.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--latency {text} is not understood", hint="give it as 5s..20m, or 90s; units are s, m, h, d")
    least = float(found[1]) * _UNITS[found[2]]
    most = least if found[3] is None else float(found[3]) * _UNITS[found[4]]
    if most < least:
        raise UsageError(f"--latency {text} ends before it begins", hint="give the shorter time first, as 5s..20m")
    return least, most
