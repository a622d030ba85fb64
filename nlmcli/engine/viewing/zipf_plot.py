"""Zipf's curve: how often the r-th most frequent type of a text occurs.  Zipf 1949

    count(r) ~ C / r^s

s is the slope of the line of least squares through log count against log r, at ranks that are evenly spaced on that scale:
otherwise the rare types, which are most of them, would settle it alone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlmcli.engine.viewing.figures import SOFT, add_legend, new_axes, new_figure, save_figure

FITTED = 200  # ranks through which the line is drawn, at most
PLOTTED = 2000


def slope(counts: Sequence[int]) -> tuple[float, float]:
    """s and ln C of the line.  counts: of the types, in descending order; at least two"""
    ranks = spaced_ranks(len(counts), FITTED)
    x, y = np.log(ranks), np.log(np.asarray(counts, float)[ranks - 1])
    x_mean, y_mean = x.mean(), y.mean()
    s = -float(((x - x_mean) * (y - y_mean)).sum() / ((x - x_mean) ** 2).sum())
    return s, float(y_mean + s * x_mean)


def spaced_ranks(n: int, most: int) -> np.ndarray:
    """Ranks from 1 to n, evenly spaced on a logarithmic scale."""
    return np.unique(np.round(np.geomspace(1, n, most)).astype(int))


def save_zipf_plot(counts: Sequence[int], kept: int, unknown_rate: float, path: Path) -> None:
    """Plot the curve, its line, and the types beyond the `kept` most frequent, which become <unk>.

    Raises InputError if it cannot be drawn.
    """
    figure = new_figure(path, (7, 5))
    axes = new_axes(figure, xlabel="rank of the type", ylabel="count", xscale="log", yscale="log")
    ranks = spaced_ranks(len(counts), PLOTTED) if counts else np.empty(0, int)
    shown = np.asarray(counts, float)[ranks - 1]
    axes.plot(ranks, shown, ".", markersize=3, label="types")
    if len(counts) > 1:
        s, log_c = slope(counts)
        axes.plot(ranks, np.exp(log_c - s * np.log(ranks)), label=f"slope -{s:.2f}")
    if kept < len(counts):
        label = f"<unk>: {len(counts) - kept:,} types, {unknown_rate:.2%} of tokens"
        axes.axvspan(kept + 0.5, len(counts), alpha=0.15, color=SOFT, label=label)
    add_legend(axes)
    save_figure(figure, path)
