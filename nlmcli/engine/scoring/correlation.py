"""How well a regression predicts: correlation with the true values, and errors beside those of one constant answer."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Correlation:
    """Pearson's r (1896), Spearman's ρ (1904), mean squared and mean absolute error; floor_*: the errors of one constant answer.

    r and ρ are NaN if either side is constant or there are fewer than two examples; the errors are NaN if there are none.
    """

    pearson: float
    spearman: float
    mse: float
    mae: float
    count: int
    floor_mse: float
    floor_mae: float


def correlation(gold: np.ndarray, said: np.ndarray, mean: float) -> Correlation:
    """The figures of the answers `said`, and of always answering `mean`.  gold, said (N,)

    Raises ValueError if there is not one answer for each example.
    """
    gold, said = np.asarray(gold, np.float64), np.asarray(said, np.float64)
    if gold.ndim != 1 or gold.shape != said.shape:
        raise ValueError(f"gold has shape {gold.shape}, said {said.shape}; give two vectors of equal length")
    with np.errstate(over="ignore", invalid="ignore"):  # answers of a diverged model: the figures say so
        mse, mae = errors(said - gold)
        floor_mse, floor_mae = errors(mean - gold)
        return Correlation(pearson(gold, said), pearson(ranks(gold), ranks(said)), mse, mae, len(gold), floor_mse, floor_mae)


def errors(differences: np.ndarray) -> tuple[float, float]:
    """(1/N) Σ d² and (1/N) Σ |d|, NaN if there are none.  differences (N,)"""
    if not len(differences):
        return float("nan"), float("nan")
    return float(np.square(differences).mean()), float(np.abs(differences).mean())


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """r = Σ (x - x̄)(y - ȳ) / √(Σ (x - x̄)² Σ (y - ȳ)²), NaN if x or y is constant.  x, y (N,)  Pearson 1896"""
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    u, v = centered(x), centered(y)
    return float(np.clip(u @ v / np.sqrt((u @ u) * (v @ v)), -1, 1))


def centered(x: np.ndarray) -> np.ndarray:
    """x - x̄, scaled to at most 1, so that no square overflows or vanishes.  x (N,), not constant"""
    d = x - x.mean()
    d -= d.mean()  # the rounding error of x̄, which is not small beside the differences if x̄ is large
    return d / np.abs(d).max()


def ranks(x: np.ndarray) -> np.ndarray:
    """The place of each value in ascending order, from 1; equal values share their mean place; NaN has none.  (N,)  Spearman 1904"""
    _, group, sizes = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.where(np.isnan(x), np.nan, (last - (sizes - 1) / 2)[group])
