"""A picture of a sweep: for every option that varies, the loss of each trial against its value."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlmcli.engine.sweep.results import Point
from nlmcli.engine.sweep.space import Range, Space, short
from nlmcli.engine.sweep.study import COMPLETE
from nlmcli.engine.viewing.figures import new_axes, new_figure, save_figure
from nlmcli.options import long_name

WIDTH, HEIGHT, MOST_COLUMNS = 3.4, 3.0, 3  # of a panel, in inches; panels side by side


def save_sweep_plot(space: Space, points: Sequence[Point], path: Path) -> None:
    """Write the picture.  Raises InputError if it cannot be drawn."""
    names = list(space.varied)
    columns = min(MOST_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(path, (WIDTH * columns, HEIGHT * rows))
    for k, name in enumerate(names):
        axes = new_axes(figure, (rows, columns, k + 1), xlabel=long_name(name))
        if k % columns == 0:
            axes.set_ylabel(f"validation loss ({space.measure()})")
        panel(axes, space, name, points)
    save_figure(figure, path)


def panel(axes: Any, space: Space, name: str, points: Sequence[Point]) -> None:
    """Every complete trial as a dot, and a line through the best at each value; values that are no numbers side by side."""
    trials = [each for point in points for each in point.trials if each.state == COMPLETE]
    pairs = [(each.options[name], each.loss or 0.0) for each in trials]
    places = {value: k for k, value in enumerate(sorted({value for value, _ in pairs}, key=lambda value: (str(type(value)), value)))}
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in places)
    at = {value: value if are_numbers else k for value, k in places.items()}
    axes.plot([at[value] for value, _ in pairs], [loss for _, loss in pairs], "o", alpha=0.5)
    best = {value: min(loss for other, loss in pairs if other == value) for value in places}
    axes.plot([at[value] for value in best], list(best.values()), "-", alpha=0.8)
    if not are_numbers:
        axes.set_xticks(list(at.values()), [short(value) for value in at])
    elif is_logarithmic(space, name, places):
        axes.set_xscale("log")


def is_logarithmic(space: Space, name: str, values: Any) -> bool:
    """Whether an axis of these numbers is better logarithmic: its range says so, or the ratios of a list are large."""
    varied = space.varied[name]
    if isinstance(varied, Range):
        return varied.log
    positive = [value for value in values if value > 0]
    return len(positive) == len(values) > 1 and math.log10(max(positive) / min(positive)) >= 1
