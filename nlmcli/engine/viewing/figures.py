"""Figures, drawn with matplotlib if it is installed (the extra `plot`)."""

import warnings
from pathlib import Path
from typing import Any

from nlmcli.errors import InputError

# As on the page of nlm report (cli/page/style.css).
COLORS = ("#1357a6", "#b3440f", "#1d7a3e", "#7a3fa0", "#8a6d00", "#a3224d")
TEXT, SOFT, GRID = "#1b1d22", "#5b6270", "#d9dce2"
WARM, COOL = "#d64528", "#2662be"  # of what is wrong, and of what is right


def new_figure(path: Path, size: tuple[float, float]) -> Any:
    """An empty figure.  size: in inches.  Raises InputError for an unsupported file type, or if matplotlib is not installed."""
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"--plot {path} is neither .png nor .svg")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("--plot needs matplotlib, which is not installed; install it with: pip install 'nlmcli[plot]'") from None
    return Figure(figsize=size, layout="constrained")


def new_axes(figure: Any, position: tuple[int, int, int] = (1, 1, 1), **labels: Any) -> Any:
    """Axes in the one style of all pictures.  position: rows, columns, and which of them"""
    axes = figure.add_subplot(*position, **labels)
    axes.set_prop_cycle(color=COLORS)
    axes.set_axisbelow(True)
    axes.grid(color=GRID)
    axes.tick_params(color=GRID, labelcolor=SOFT)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(SOFT)
    return axes


def add_legend(axes: Any) -> None:
    """A legend, if there is anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=TEXT)


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure to a file.  Raises InputError if it cannot be written."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # glyphs missing from the font are drawn as boxes
            figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror})") from None
