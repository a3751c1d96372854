"""Which responder a server has, as its options say."""

from dataclasses import dataclass, fields
from typing import Any, Final

from batchflow.errors import UsageError
from batchflow.server.responder import REPLAY, RESPONDER, RESPONDER_VERSION, RESPONDERS, Responder


@dataclass(frozen=True, slots=True)
class Responding:
    """responder = `simulate` or `replay`; replay = folders of runs, or REQUESTS=RESPONSES; refusals, truncations =
    shares of simulated answers, from 0 to 1.
    """

    responder: str = RESPONDER
    replay: tuple[str, ...] = ()
    refusals: float = 0.0
    truncations: float = 0.0

    def check(self) -> None:
        """UsageError where a value cannot be meant."""
        known = " or ".join(RESPONDERS)
        replayed = self.responder == REPLAY
        for message, wrong in (
            (f"--responder must be {known}, not {self.responder}", self.responder not in RESPONDERS),
            ("--responder replay needs --replay, which says what was recorded", replayed and not self.replay),
            ("--replay needs --responder replay", not replayed and bool(self.replay)),
            ("--refusals and --truncations are for simulated answers", replayed and self._shares != 0),
            (
                "--refusals and --truncations must be shares from 0 to 1, together at most 1",
                not (self.refusals >= 0 and self.truncations >= 0 and self._shares <= 1),
            ),
        ):
            if wrong:
                raise UsageError(message)

    @property
    def _shares(self) -> float:
        return self.refusals + self.truncations

    def made(self, seed: int) -> Responder:
        """The responder; UsageError or SetupError where what is to be replayed cannot be read."""
        if self.responder == REPLAY:
            from batchflow.server.replay import Replay, recordings  # noqa: PLC0415 - only where it is wanted

            return Replay(recordings(self.replay))
        from batchflow.server.simulator import Simulator  # noqa: PLC0415 - as above

        return Simulator(seed, refusals=self.refusals, truncations=self.truncations)

    def about(self, seed: int) -> dict[str, Any]:
        """What `/admin/health` says of it."""
        if self.responder == REPLAY:
            from batchflow.server.replay import REPLAY_VERSION  # noqa: PLC0415 - as above

            return {"responder": REPLAY, "responder_version": REPLAY_VERSION, "seed": seed, "simulated": False}
        told = {"responder": RESPONDER, "responder_version": RESPONDER_VERSION, "seed": seed, "simulated": True}
        shares = {"refusals": self.refusals, "truncations": self.truncations}
        return {**told, **{name: share for name, share in shares.items() if share}}


SIMULATING: Final = Responding()
RESPONDING_OPTIONS: Final = tuple(field.name for field in fields(Responding))
