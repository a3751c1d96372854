"""Images that a request carries: their size is read from any file as it was written, and no way to round by the
published rules gives more tokens than the bound.
"""

import math
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from itertools import product

from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchflow.cost.image_size import image_size, size_in_address
from batchflow.cost.images import image_tokens

quick = settings(max_examples=150, deadline=None)

SIDES = st.integers(1, 65_535)
SIZES = st.tuples(SIDES, SIDES)
SHORT = st.binary(max_size=60)
BLOCKS = st.lists(st.binary(min_size=1, max_size=255), max_size=4)  # of a GIF's extension
# JPEG: metadata and tables, a preview in them included, whose own markers must not count
SEGMENTS = st.lists(
    st.tuples(
        st.sampled_from([0xE0, 0xE1, 0xE2, 0xFE, 0xDB, 0xC4, 0xCC]), SHORT | st.just(b"\xff\xc0" * 9), st.integers(0, 3)
    ),
    max_size=6,
)


def png(width: int, height: int, rest: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tEXt", rest)


def jpeg(width: int, height: int, segments: list[tuple[int, bytes, int]], frame: int) -> bytes:
    found = b"\xff\xd8"
    for marker, data, filled in segments:
        found += b"\xff" * filled + bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
    return found + bytes([0xFF, frame]) + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)


def gif(screen: tuple[int, int], frame: tuple[int, int, int, int], colours: int, blocks: list[bytes]) -> bytes:
    flags = 0x80 | colours if colours >= 0 else 0
    found = b"GIF89a" + struct.pack("<HHBBB", *screen, flags, 0, 0) + bytes(3 * 2 ** (colours + 1) if flags else 0)
    for _ in range(2 if blocks else 0):
        found += b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    return found + b"," + struct.pack("<HHHH", *frame) + b"\0\2"


def webp(width: int, height: int, kind: bytes) -> bytes:
    if kind == b"VP8X":
        data = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        data = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(9)
    else:
        data = b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", width | 0x4000, height) + bytes(9)
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"WEBP" + kind + struct.pack("<I", len(data)) + data


def address(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


@quick
@given(SIZES, SHORT)
def test_png(size: tuple[int, int], rest: bytes) -> None:
    assert size_in_address(address(png(*size, rest))) == size


@quick
@given(SIZES, SEGMENTS, st.sampled_from([0xC0, 0xC1, 0xC2, 0xC9, 0xCA]))
def test_jpeg(size: tuple[int, int], segments: list[tuple[int, bytes, int]], frame: int) -> None:
    assert size_in_address(address(jpeg(*size, segments, frame), "image/jpeg")) == size


def test_a_photograph_with_much_before_its_size() -> None:
    profile = (0xE2, bytes(65_000), 0)
    for count in (1, 4, 9):
        assert size_in_address(address(jpeg(4_032, 3_024, [profile] * count, 0xC2))) == (4_032, 3_024)


@quick
@given(SIZES, st.tuples(*[st.integers(0, 60_000)] * 4), st.integers(-1, 7), BLOCKS)
def test_gif(screen: tuple[int, int], frame: tuple[int, int, int, int], colours: int, blocks: list[bytes]) -> None:
    left, top, width, height = frame
    found = image_size(gif(screen, frame, colours, blocks))
    assert found == (max(screen[0], left + width), max(screen[1], top + height))


@quick
@given(st.integers(1, 16_383), st.integers(1, 16_383), st.sampled_from([b"VP8X", b"VP8L", b"VP8 "]))
def test_webp(width: int, height: int, kind: bytes) -> None:
    assert size_in_address(address(webp(width, height, kind), "image/webp")) == (width, height)


FILES = st.one_of(
    st.builds(png, SIDES, SIDES, SHORT),
    st.builds(jpeg, SIDES, SIDES, SEGMENTS, st.just(0xC0)),
    st.builds(gif, SIZES, st.tuples(*[SIDES] * 4), st.integers(-1, 7), BLOCKS),
    st.builds(webp, st.integers(1, 16_383), st.integers(1, 16_383), st.sampled_from([b"VP8X", b"VP8L", b"VP8 "])),
)


@quick
@given(FILES, st.data())
def test_part_of_a_file_tells_its_size_or_nothing(data: bytes, drawn: st.DataObject) -> None:
    head = data[: drawn.draw(st.integers(0, len(data)))]
    assert image_size(head) in {None, image_size(data)}


@quick
@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "]),
)
@example(b"", b"\xff\xd8")
def test_whatever_stands_there_is_no_error(data: bytes, head: bytes) -> None:
    found = image_size(head + data)
    assert found is None or min(found) > 0
    size_in_address(address(head + data))


@quick
@given(st.text(max_size=40))
@example("data:image/png;base64,ümläut")
@example("data:image/png;base64,iVBORw0KGgo-_-_")
@example("data:image/svg+xml,<svg/>")
def test_what_is_no_image_within_the_request_has_no_size(text: str) -> None:
    assert size_in_address(text) is None


# --- the rules: as a person would work them out with real numbers, in every way to round

ROUNDINGS: tuple[Callable[[float], int], ...] = (math.floor, round, math.ceil)


def smaller(width: float, height: float, side: int, rounding: Callable[[float], int]) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, rounding(width * scale)), max(1, rounding(height * scale))


def by_tiles(size: tuple[int, int], base: int, tile: int, first: Callable[[float], int]) -> int:
    width, height = smaller(*size, 2_048, first)
    if min(width, height) > 768:
        scale = 768 / min(width, height)
        width, height = (768 if side == min(width, height) else math.floor(side * scale) for side in (width, height))
    return base + tile * math.ceil(width / 512) * math.ceil(height / 512)


def by_patches(size: tuple[int, int], side: int, budget: int, multiplier: float, first: Callable[[float], int]) -> int:
    width, height = smaller(*size, side, first)
    if math.ceil(width / 32) * math.ceil(height / 32) > budget:
        shrink = math.sqrt(32**2 * budget / (width * height))
        across, down = width * shrink / 32, height * shrink / 32
        shrink *= min(math.floor(across) / across, math.floor(down) / down) if min(across, down) >= 1 else 1
        width, height = math.floor(width * shrink), math.floor(height * shrink)
    return math.ceil(min(budget, math.ceil(width / 32) * math.ceil(height / 32)) * multiplier)


@settings(max_examples=400, deadline=None)
@given(SIZES)
@example((2_048, 4_096))
@example((4_032, 3_024))
@example((1_600, 1_199))
@example((2_049, 768))
@example((6_000, 2_251))
def test_tiles_are_never_more_than_the_bound(size: tuple[int, int]) -> None:
    found = image_tokens("gpt-4o", "high", size)
    ways = [by_tiles(size, 85, 170, first) for first in ROUNDINGS]
    assert found is not None
    assert max(ways) <= found <= (image_tokens("gpt-4o", "high") or 0)
    assert found == image_tokens("gpt-4o", None, size[::-1])
    if max(size) <= 2_048:  # nothing is rounded before the tiles: no other answer
        assert set(ways) == {found}


LIMITS = {
    ("gpt-5.4", "high"): (2_048, 2_500, 1.2),
    ("gpt-5.4-mini", "auto"): (2_048, 2_500, 1.2),
    ("gpt-5.4-nano", "low"): (2_048, 6_144, 1.2),
    ("gpt-5.4", "original"): (6_000, 10_000, 1.2),
    ("gpt-5.5", "auto"): (6_000, 10_000, 1.2),
    ("gpt-5.5", "low"): (512, 256, 1.2),
    ("gpt-5.6-luna", "original"): (65_535, 30_000, 1.2),
    ("gpt-5.6-sol", "low"): (512, 256, 1.2),
    ("gpt-5.2", "low"): (2_048, 6_144, 1.2),
    ("gpt-4.1-mini", "high"): (2_048, 6_144, 1.62),
}


@settings(max_examples=400, deadline=None)
@given(SIZES, st.sampled_from(list(LIMITS)))
def test_patches_are_never_more_than_the_bound(size: tuple[int, int], asked: tuple[str, str]) -> None:
    found, most = image_tokens(*asked, size), image_tokens(*asked)
    assert found is not None
    assert most is not None
    assert max(by_patches(size, *LIMITS[asked], first) for first in ROUNDINGS) <= found <= most


@quick
@given(SIZES, st.integers(0, 3_000), st.sampled_from(list(LIMITS)))
def test_a_larger_image_is_never_cheaper(size: tuple[int, int], more: int, asked: tuple[str, str]) -> None:
    larger = (size[0] + more, size[1] + more)
    assert (image_tokens(*asked, larger) or 0) >= (image_tokens(*asked, size) or 0)


def test_every_level_of_detail_that_a_model_may_be_asked_for() -> None:
    models = ("gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-nano", "o4-mini", *(model for model, _ in LIMITS))
    for model, detail in product(models, ("low", "high", "auto", "original", None, ["low"])):
        least, most = image_tokens(model, detail, (1, 1)), image_tokens(model, detail)
        assert least is not None
        assert most is not None
        assert 0 < least <= most
