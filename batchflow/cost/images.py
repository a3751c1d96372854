"""How many tokens an image takes at most, by the rules that OpenAI has published; a model without one is unknown.

The rules are those of the guide "Images and vision" (developers.openai.com/api/docs/guides/images-vision: "Model sizing
behavior", "Calculating costs"), as it stood in autumn 2026. It no longer says how large deprecated models see an image,
and earlier versions told other multipliers for some of them: there the dearest that was ever told is taken. Rounding is
always upwards, so that the number stays a bound however the provider rounds.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from batchflow.cost.image_size import Size

_SIDE, _SHORT, _TILE = 2_048, 768, 512
_MOST_TILES: Final = 8  # 2 x 4
_TILES: Final = {
    **dict.fromkeys(("gpt-5.1", "gpt-5", "gpt-5-chat-latest"), (70, 140)),
    **dict.fromkeys(("gpt-4o", "gpt-4.1"), (85, 170)),
    "gpt-4o-mini": (2_833, 5_667),
    **dict.fromkeys(("o1", "o1-pro", "o3"), (75, 150)),
}  # model -> tokens of the image itself, and of each tile
_PATCH: Final = 32  # pixels of a patch's side


class _Limit(NamedTuple):
    """The image is made smaller until it has no longer side, and no more patches."""

    side: int
    patches: int

    def patches_of(self, size: Size | None) -> int:
        if size is None:
            return min(_parts(self.side, _PATCH) ** 2, self.patches)
        longer, shorter = _fitted(size, self.side)
        return min(_parts(longer, _PATCH) * _parts(shorter, _PATCH), self.patches)


_COARSE: Final = _Limit(512, 256)
_USUAL: Final = _Limit(2_048, 2_500)
_LARGE: Final = _Limit(6_000, 10_000)
_WHOLE: Final = _Limit(65_535, 30_000)  # more patches are refused
_OLDER: Final = _Limit(2_048, 6_144)


class _Patches(NamedTuple):
    """Hundredths of a token for each patch, and the limit by `detail`; "": any other, and none."""

    hundredths: int
    limits: Mapping[str, _Limit]


_BY_PATCHES: Final = {
    **dict.fromkeys(
        ("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"), _Patches(120, {"low": _COARSE, "high": _USUAL, "": _WHOLE})
    ),
    "gpt-5.5": _Patches(120, {"low": _COARSE, "high": _USUAL, "": _LARGE}),
    **dict.fromkeys(
        ("gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano"), _Patches(120, {"low": _OLDER, "original": _LARGE, "": _USUAL})
    ),
    "gpt-5.2": _Patches(120, {"": _OLDER}),
    **dict.fromkeys(("gpt-4.1-mini", "gpt-5-mini"), _Patches(162, {"": _OLDER})),
    **dict.fromkeys(("gpt-4.1-nano", "gpt-5-nano"), _Patches(246, {"": _OLDER})),
    "o4-mini": _Patches(172, {"": _OLDER}),
}
_DATED: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def image_tokens(model: str, detail: object, size: Size | None = None) -> int | None:
    """The most tokens of an image. detail: what the request says of it. size: its pixels; None: any size.

    None where no rule is known.
    """
    name = _DATED.sub("", model)
    if name in _TILES:
        base, tile = _TILES[name]
        return base if detail == "low" else base + tile * (_MOST_TILES if size is None else _tiles(size))
    if name not in _BY_PATCHES:
        return None
    hundredths, limits = _BY_PATCHES[name]
    limit = limits.get(detail if isinstance(detail, str) else "", limits[""])
    # rounded up, and one more: the guide says that its own rounding may differ by one
    return _parts(limit.patches_of(size) * hundredths, 100) + 1


def _tiles(size: Size) -> int:
    """Tiles of an image that is fitted into a square first, and then by its shorter side."""
    longer, shorter = _fitted(size, _SIDE)
    if shorter <= _SHORT:
        return _parts(longer, _TILE) * _parts(shorter, _TILE)
    # the longer side becomes the longer, the less the shorter one was after the first step: rounded down there
    least = min(size) * longer // max(size)
    return _parts(longer * _SHORT // max(least, _SHORT), _TILE) * _parts(_SHORT, _TILE)


def _fitted(size: Size, side: int) -> Size:
    """The longer and the shorter side of an image that is made smaller, never larger, until none exceeds `side`."""
    longer, shorter = max(size), min(size)
    return (longer, shorter) if longer <= side else (side, _parts(shorter * side, longer))


def _parts(whole: int, size: int) -> int:
    """How many of this size cover the whole."""
    return -(-whole // size)
