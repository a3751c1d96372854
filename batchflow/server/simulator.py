"""The simulated model: varied, plausible answers made from a request's own words, the same for the same request.

What is said depends on body bytes, seed and draw alone, never on time or order.
"""

from typing import Final

from batchflow.server import chat, completions, embeddings, moderations, responses
from batchflow.server.responder import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MODERATIONS,
    RESPONSES,
    Ask,
    Refused,
    Reply,
    World,
)

_ENDPOINTS: Final = {
    CHAT: chat.reply,
    RESPONSES: responses.reply,
    EMBEDDINGS: embeddings.reply,
    MODERATIONS: moderations.reply,
    COMPLETIONS: completions.reply,
}


class Simulator:
    """`seed` gives another world of the same people; refusals and truncations are shares from 0 to 1."""

    def __init__(self, seed: int, *, refusals: float = 0.0, truncations: float = 0.0) -> None:
        self._world = World(seed, refusals, truncations)

    def reply(self, ask: Ask, created: int) -> Reply:
        """What the endpoint says. `created` is in unix seconds, shown and nothing else."""
        try:
            return _ENDPOINTS[ask.endpoint](ask, self._world, created)
        except Refused as refused:
            return refused.reply()
