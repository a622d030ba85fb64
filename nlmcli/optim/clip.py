"""Clipping by the global norm: g ← g · min(1, c / |g|), so that one steep place cannot throw θ far away."""

import math

import numpy as np

from nlmcli.nn.kernel import kernel


def norm(g: np.ndarray) -> float:
    """|g| = √Σ g², summed in double precision in one fixed order."""
    return math.sqrt(square_sum(g))


def clip_scale(length: float, limit: float | None) -> float:
    """min(1, c / |g|): what a gradient of this length is multiplied by.  Pascanu, Mikolov & Bengio 2013."""
    return 1.0 if not limit or length <= limit else limit / length


@kernel
def square_sum(g):
    total = 0.0
    for i in range(g.size):
        total += np.float64(g[i]) * np.float64(g[i])
    return total
