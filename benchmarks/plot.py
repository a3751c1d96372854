"""Cost against the number of rows, both logarithmic, as an SVG of our own."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks.report import Point

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 20, 50
FONT: Final = 'font-family="sans-serif" font-size="12"'
COLOURS: Final = ("#1b6ca8", "#c8553d", "#4a7c59", "#8d6a9f")


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


class _Axes:
    """Where values lie on the page."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.x = _decades([point.rows for point in points])
        self.y = _decades([point.cpu for point in points])

    def across(self, rows: float) -> float:
        share = (math.log10(rows) - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(self, cpu: float) -> float:
        share = (math.log10(cpu) - self.y[0]) / (self.y[1] - self.y[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> Iterator[str]:
        for power in range(self.x[0], self.x[1] + 1):
            x = self.across(10**power)
            yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
            yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>'
        for power in range(self.y[0], self.y[1] + 1):
            y = self.down(10**power)
            yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
            yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>'
        yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">rows</text>'
        middle = HEIGHT / 2
        turned = f'x="16" y="{middle}" transform="rotate(-90 16 {middle})" text-anchor="middle"'
        yield f"<text {turned}>CPU seconds</text>"


def svg(growth: Mapping[str, Sequence[Point]]) -> str:
    """One line for each path."""
    axes = _Axes([point for points in growth.values() for point in points])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *axes.grid(),
    ]
    for colour, (name, points) in zip(COLOURS, growth.items(), strict=False):
        places = [(axes.across(point.rows), axes.down(point.cpu)) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        x, y = places[-1]
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])
