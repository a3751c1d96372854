"""How many pixels an image has that a request carries itself: read from the head of its file, whatever its name says.

Pure functions of bytes; where the head does not tell, there is no size. A photograph that lies on its side has as many
tokens, so what a camera notes of its orientation does not matter.
"""

import binascii
import re
import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Final, TypeAlias

Size: TypeAlias = tuple[int, int]

_DATA: Final = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_HEADS: Final = (4_096, 1 << 18)  # characters that are mostly enough; multiples of four, as Base64 goes
# JPEG: the markers of a frame, and those that have no segment
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE: Final = frozenset({0x01, *range(0xD0, 0xDA)})
_FILL: Final = 0xFF
_WEBP_BITS: Final = 14


def size_in_address(address: str) -> Size | None:
    """Width and height in pixels of the image in a `data:` address; None for any other, and where it does not tell."""
    match = _DATA.match(address)
    if match is None:
        return None
    start, size = match.end(), None
    for end in (*(start + head for head in _HEADS), len(address)):
        try:
            size = image_size(b64decode(address[start:end], validate=True))
        except (binascii.Error, ValueError):
            return None
        if size is not None or end >= len(address):
            break
    return size


def image_size(head: bytes) -> Size | None:
    """Width and height of a PNG, JPEG, GIF or WebP file that begins so; None where this does not tell."""
    for first, read in _KINDS:
        if head.startswith(first):
            try:
                found = read(head)
            except (struct.error, IndexError):
                return None
            return found if found is not None and min(found) > 0 else None
    return None


def _png(head: bytes) -> Size | None:
    name, width, height = struct.unpack_from(">4sII", head, 12)
    return (width, height) if name == b"IHDR" else None


def _gif(head: bytes) -> Size | None:
    """The larger of the screen and its first picture: readers differ in which of them they take for the size."""
    screen_width, screen_height, flags = struct.unpack_from("<HHB", head, 6)
    place = 13 + (3 << (flags & 7) + 1 if flags >> 7 else 0)
    while head[place] == ord("!"):  # an extension: its label, then blocks until an empty one
        place += 2
        while head[place]:
            place += 1 + head[place]
        place += 1
    kind, left, top, width, height = struct.unpack_from("<c4H", head, place)
    return (max(screen_width, left + width), max(screen_height, top + height)) if kind == b"," else None


def _jpeg(head: bytes) -> Size | None:
    place = 2
    while head[place] == _FILL:
        marker = head[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", head, place + 5)
            return width, height
        if marker == _FILL:
            place += 1
        elif marker in _BARE:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", head, place + 2)[0]
    return None


def _webp(head: bytes) -> Size | None:
    kind, found = struct.unpack_from("<8s4x10s", head, 8)
    if kind == b"WEBPVP8X":
        return int.from_bytes(found[4:7], "little") + 1, int.from_bytes(found[7:], "little") + 1
    mask = (1 << _WEBP_BITS) - 1
    if kind == b"WEBPVP8L":
        bits = int.from_bytes(found[1:5], "little")
        return (bits & mask) + 1, (bits >> _WEBP_BITS & mask) + 1
    if kind == b"WEBPVP8 " and found[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", found[6:])
        return width & mask, height & mask
    return None


_KINDS: Final[tuple[tuple[bytes, Callable[[bytes], Size | None]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
)
