"""Curves in a terminal: lines of braille, whose characters are two dots wide and four high."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # the bit of each dot, by column, then by row from the top
BRAILLE = 0x2800
ACROSS, DOWN = 2, 4  # dots of a cell
POINTS = 200  # that are kept of a long series, at most


@dataclass(frozen=True)
class Curve:
    """One line of a plot: its mark, which stands where it ends, and its points (x, y)."""

    mark: str
    points: Sequence[tuple[float, float]]

    def finite(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y in self.points if math.isfinite(x) and math.isfinite(y)]


class Means:
    """A series in few points, however long it is: each is the mean of equally many values, and when there are too many, two become one."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.waiting: list[float] = []
        self.each = 1  # how many values a point is the mean of

    def add(self, x: float, y: float) -> None:
        self.waiting.append(y)
        if len(self.waiting) < self.each:
            return
        self.points.append((x, sum(self.waiting) / len(self.waiting)))
        self.waiting.clear()
        if len(self.points) == POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [(x, (y0 + y) / 2) for (_, y0), (x, y) in pairs]
            self.each *= 2

    def back_to(self, x: float) -> None:
        """Forget what came after x."""
        self.points = [point for point in self.points if point[0] <= x]
        self.waiting.clear()

    def since(self, x: float) -> list[tuple[float, float]]:
        return [point for point in self.points if point[0] >= x]


def plot(curves: Sequence[Curve], width: int = 60, height: int = 12, unit: str = "") -> list[str]:
    """Lines of text that show the curves on common axes, y to the left, x below in that unit. None where there is no point."""
    shown = [points for curve in curves if (points := curve.finite())]
    if not shown:
        return []
    left, right = extent([x for points in shown for x, _ in points])
    low, high = extent([y for points in shown for _, y in points])
    labels = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"]
    margin = max(map(len, labels))
    canvas = draw(curves, (left, right), (low, high), width, height)
    rows = [f"{label:>{margin}} {'┤' if label else '│'}{line}".rstrip() for label, line in zip(labels, canvas, strict=True)]
    ends = number(left), f"{number(right)}{unit}"
    return [*rows, f"{'':{margin}} └{'─' * width}", f"{'':{margin}}  {ends[0]}{ends[1]:>{max(1, width - len(ends[0]))}}"]


def number(x: float) -> str:
    """To three digits; above a thousand to the unit."""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def extent(values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest value; apart, so that one can be divided by their distance."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1)


def draw(curves: Sequence[Curve], across: tuple[float, float], up: tuple[float, float], width: int, height: int) -> list[str]:
    """The cells of the plot, a string a row; a curve's mark stands a cell behind its last point."""
    bits = [[0] * width for _ in range(height)]
    marks: dict[tuple[int, int], str] = {}
    for curve in curves:
        dots = [(place(x, across, width * ACROSS), place(y, up[::-1], height * DOWN)) for x, y in curve.finite()]
        for column, row in joined(dots):
            bits[row // DOWN][column // ACROSS] |= DOTS[column % ACROSS][row % DOWN]
        if dots:
            marks[free(marks, dots[-1][1] // DOWN, dots[-1][0] // ACROSS + 1, height)] = curve.mark
    lines = [[chr(BRAILLE + cell) if cell else " " for cell in row] + [" "] for row in bits]
    for (row, column), mark in marks.items():
        lines[row][column] = mark
    return ["".join(line).rstrip() for line in lines]


def place(value: float, ends: tuple[float, float], dots: int) -> int:
    """Which of so many dots between the ends the value falls on."""
    return round((value - ends[0]) / (ends[1] - ends[0]) * (dots - 1))


def joined(dots: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The dots, and those on the straight lines between them."""
    yield from dots[:1]
    for (x0, y0), (x1, y1) in pairwise(dots):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for k in range(1, steps + 1):
            yield round(x0 + (x1 - x0) * k / steps), round(y0 + (y1 - y0) * k / steps)


def free(marks: dict[tuple[int, int], str], row: int, column: int, height: int) -> tuple[int, int]:
    """The cell at this column that is nearest to the row and bears no mark."""
    rows = sorted(range(height), key=lambda r: abs(r - row))
    return next(((r, column) for r in rows if (r, column) not in marks), (row, column))
