"""The lines of a worked example, central differences, and whether the two agree."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Line = tuple[str, Any, Any]  # what, its value (None: the line is a heading), its numeric value (None: it is no derivative)

RATE = 0.1  # η, the learning rate
STEP = 1e-6  # of the central differences
TOLERANCE = 1e-6


def slope(f: Callable[[Any], Any], at: Any) -> Any:
    """df/dx at x = `at`, by central differences.  at: a number, or an array; then f is a scalar, with one derivative per entry."""
    if np.ndim(at) == 0:
        return (f(at + STEP) - f(at - STEP)) / (2 * STEP)
    out = np.empty_like(at)
    for i in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[i] = STEP
        out[i] = (f(at + step) - f(at - step)) / (2 * STEP)
    return out


def jacobian(f: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """The Jacobian of f at x = `at`, by central differences; rows: entries of f(x), columns: entries of x."""

    def row(i: int) -> np.ndarray:
        return slope(lambda x: f(x).reshape(-1)[i], at).reshape(-1)

    return np.stack([row(i) for i in range(f(at).size)])


def disagreeing(lines: Sequence[Line], tolerance: float | None = None) -> list[str]:
    """The derivatives with max |value - numeric| / max(max |numeric|, 1e-3) above the tolerance, by default 1e-6, or not finite."""
    limit = TOLERANCE if tolerance is None else tolerance
    return [what for what, value, numeric in lines if numeric is not None and not relative_error(value, numeric) <= limit]


def relative_error(value: Any, numeric: Any) -> float:
    """The largest |value - numeric| over the largest |numeric|; infinite if the shapes differ."""
    if np.shape(value) != np.shape(numeric):
        return float("inf")
    return float(np.max(np.abs(np.subtract(value, numeric))) / max(np.max(np.abs(numeric)), 1e-3))
