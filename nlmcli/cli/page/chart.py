"""Line charts as SVG."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 280, 90, 12, 14, 50
TICKS = 4
EDGE = 30  # how near to the right end a number ends at its tick rather than being centered on it


@dataclass(frozen=True)
class Series:
    """A line: its name, and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """series on common axes.  floor: a horizontal line;  best: a point that is marked"""

    title: str
    x: str
    series: Sequence[Series]
    floor: float | None = None
    best: tuple[float, float] | None = None

    def finite(self) -> list[Series]:
        """The lines with the points that can be drawn; those without any are left out."""
        kept = [Series(s.name, [(x, y) for x, y in s.points if math.isfinite(x) and math.isfinite(y)]) for s in self.series]
        return [s for s in kept if s.points]


def svg(chart: Chart, number: int) -> list[str]:
    """The lines of a figure; empty if there is nothing to draw.  number: by which the script finds it"""
    series = chart.finite()
    if not series:
        return []
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points] + ([chart.floor] if chart.floor is not None else [])
    (x0, x1), (y0, y1) = extent(xs), extent(ys)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT),
            TOP + (1 - (y - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM),
        )

    title = html.escape(chart.title)
    out = [
        f"<figure><figcaption>{title}</figcaption>",
        f'<svg data-chart="{number}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" aria-label="{title}">',
    ]
    for value in ticks(y0, y1):
        _, y = at(x0, value)
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number_of(value)}</text>')
    for value in ticks(x0, x1):
        x, _ = at(value, y0)
        anchor = "end" if x > WIDTH - RIGHT - EDGE else "middle"
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="{anchor}">{number_of(value)}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(chart.x)}</text>')
    if chart.floor is not None:
        _, y = at(x0, chart.floor)
        line = f'<line class="floor" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}">'
        out.append(f"{line}<title>floor {number_of(chart.floor)}</title></line>")
    for k, s in enumerate(series):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in s.points))
        out.append(f'<polyline class="line s{k % 6}" points="{points}"/>')
    if chart.best:
        x, y = at(*chart.best)
        out.append(f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>best: {number_of(chart.best[1])}</title></circle>')
    legend = " ".join(f'<span class="key s{k % 6}">{html.escape(s.name)}</span>' for k, s in enumerate(series))
    return [*out, f'</svg><p class="legend">{legend} <output></output></p></figure>']


def extent(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest value; a little apart if they are equal."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two bounds."""
    step = 10 ** math.floor(math.log10((high - low) / TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= TICKS + 0.5)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number_of(value: float) -> str:
    """A number for an axis: 2.5e-4, 0.001, 2.5, 12k, 3M."""
    size = abs(value)
    if 1e-12 <= size < 1e-3:
        exponent = math.floor(math.log10(size) + 1e-9)
        return f"{value / 10**exponent:.3g}e{exponent}"
    if size >= 1e6:
        return f"{value / 1e6:.3g}M"
    if size >= 1e4:
        return f"{value / 1e3:.4g}k"
    return "0" if size < 1e-12 else f"{value:.4g}"
