"""Line plots in a terminal, drawn with braille characters, each a cell of 2 x 4 dots."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # the bit of each dot of a cell, by column, then by row from the top
BRAILLE = 0x2800
CELL_WIDTH, CELL_HEIGHT = 2, 4  # dots
MAX_POINTS = 200  # of a downsampled series


@dataclass(frozen=True)
class Curve:
    """A curve of a plot: its points (x, y), and the character that marks its end."""

    mark: str
    points: Sequence[tuple[float, float]]

    def finite(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y in self.points if math.isfinite(x) and math.isfinite(y)]


class Downsampled:
    """A series of fewer than MAX_POINTS points, each the mean of `values_per_point` values; at the limit, neighbors are merged."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.pending: list[float] = []
        self.values_per_point = 1

    def add(self, x: float, y: float) -> None:
        self.pending.append(y)
        if len(self.pending) < self.values_per_point:
            return
        self.points.append((x, sum(self.pending) / len(self.pending)))
        self.pending.clear()
        if len(self.points) == MAX_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [(x, (y0 + y) / 2) for (_, y0), (x, y) in pairs]
            self.values_per_point *= 2

    def drop_after(self, x: float) -> None:
        """Remove all points after x."""
        self.points = [point for point in self.points if point[0] <= x]
        self.pending.clear()

    def since(self, x: float) -> list[tuple[float, float]]:
        return [point for point in self.points if point[0] >= x]


def plot(curves: Sequence[Curve], width: int = 60, height: int = 12, unit: str = "") -> list[str]:
    """Lines of text with the curves on common axes, y on the left, x below with its unit. Empty if there is no finite point."""
    series = [points for curve in curves if (points := curve.finite())]
    if not series:
        return []
    left, right = extent([x for points in series for x, _ in points])
    low, high = extent([y for points in series for _, y in points])
    labels = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"]
    margin = max(map(len, labels))
    canvas = draw(curves, (left, right), (low, high), width, height)
    rows = [f"{label:>{margin}} {'┤' if label else '│'}{line}".rstrip() for label, line in zip(labels, canvas, strict=True)]
    ends = number(left), f"{number(right)}{unit}"
    return [*rows, f"{'':{margin}} └{'─' * width}", f"{'':{margin}}  {ends[0]}{ends[1]:>{max(1, width - len(ends[0]))}}"]


def number(x: float) -> str:
    """Three significant digits; an integer from 1000 on."""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def extent(values: Sequence[float]) -> tuple[float, float]:
    """The minimum and the maximum; (minimum, minimum + 1) if they are equal, so that the range can be divided by."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1)


def draw(curves: Sequence[Curve], x_range: tuple[float, float], y_range: tuple[float, float], width: int, height: int) -> list[str]:
    """The rows of the plot, one string each; the mark of a curve is one cell to the right of its last point."""
    bits = [[0] * width for _ in range(height)]
    marks: dict[tuple[int, int], str] = {}
    for curve in curves:
        dots = [
            (nearest_dot(x, x_range, width * CELL_WIDTH), nearest_dot(y, y_range[::-1], height * CELL_HEIGHT)) for x, y in curve.finite()
        ]
        for column, row in line_dots(dots):
            bits[row // CELL_HEIGHT][column // CELL_WIDTH] |= DOTS[column % CELL_WIDTH][row % CELL_HEIGHT]
        if dots:
            marks[free_cell(marks, dots[-1][1] // CELL_HEIGHT, dots[-1][0] // CELL_WIDTH + 1, height)] = curve.mark
    lines = [[chr(BRAILLE + cell) if cell else " " for cell in row] + [" "] for row in bits]
    for (row, column), mark in marks.items():
        lines[row][column] = mark
    return ["".join(line).rstrip() for line in lines]


def nearest_dot(value: float, ends: tuple[float, float], dots: int) -> int:
    """The index of the dot nearest to the value, of `dots` dots spread evenly between the ends."""
    return round((value - ends[0]) / (ends[1] - ends[0]) * (dots - 1))


def line_dots(dots: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The dots of the polyline through these dots."""
    yield from dots[:1]
    for (x0, y0), (x1, y1) in pairwise(dots):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for k in range(1, steps + 1):
            yield round(x0 + (x1 - x0) * k / steps), round(y0 + (y1 - y0) * k / steps)


def free_cell(marks: dict[tuple[int, int], str], row: int, column: int, height: int) -> tuple[int, int]:
    """The cell without a mark in this column that is nearest to the row."""
    rows = sorted(range(height), key=lambda r: abs(r - row))
    return next(((r, column) for r in rows if (r, column) not in marks), (row, column))
