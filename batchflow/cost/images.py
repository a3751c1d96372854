"""How many tokens an image takes at most, by the rules that OpenAI has published; a model without one is unknown."""

import math
import re
from typing import Final

# Tiles of 512 pixels, after the image was fitted into 2048 x 2048 and its shorter side into 768: at most 2 x 4 of them.
_MOST_TILES: Final = 8
_TILES: Final = {
    "gpt-5": (70, 140),
    "gpt-4o": (85, 170),
    "gpt-4.1": (85, 170),
    "gpt-4o-mini": (2_833, 5_667),
    "o1": (75, 150),
    "o3": (75, 150),
}  # model -> tokens of the image itself, and of each tile
# Patches of 32 pixels, after the image was fitted into so many of them; each counts as so many tokens.
_MOST_PATCHES: Final = 1_536
_PATCHES: Final = {
    **dict.fromkeys(("gpt-5-mini", "gpt-5.4-mini", "gpt-4.1-mini"), 1.62),
    **dict.fromkeys(("gpt-5-nano", "gpt-5.4-nano", "gpt-4.1-nano"), 2.46),
    "o4-mini": 1.72,
}
_DATED: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def image_tokens(model: str, detail: object) -> int | None:
    """The most tokens of an image of any size. detail: what the request says of it; None where no rule is known."""
    name = _DATED.sub("", model)
    if name in _TILES:
        base, tile = _TILES[name]
        return base if detail == "low" else base + _MOST_TILES * tile
    return math.ceil(_MOST_PATCHES * _PATCHES[name]) if name in _PATCHES else None
