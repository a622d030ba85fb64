"""An exponential moving average of the parameters, which is less noisy than the last of them.

    θ̄ ← d θ̄ + (1 - d) θ,   d = min(decay, t / (t + 10)) after step t

The first steps, far from where the run ends, are forgotten sooner.  Polyak & Juditsky 1992; Tarvainen & Valpola 2017
"""

import numpy as np

from nlmcli.nn.kernel import kernel

FORGOTTEN = 10  # steps over which the average of a young run extends


class Average:
    """θ̄ of a vector θ, which `follow` updates."""

    def __init__(self, theta: np.ndarray, decay: float):
        self.mean, self.decay = theta.copy(), decay

    def follow(self, theta: np.ndarray, t: int, part: slice) -> None:
        """Update a part of θ̄ after step t, counted from 1."""
        d = min(self.decay, t / (t + FORGOTTEN))
        follow(self.mean[part], theta[part], theta.dtype.type(1 - d))


@kernel
def follow(mean, theta, rate):
    """mean += rate (theta - mean)."""
    for i in range(mean.size):
        mean[i] += rate * (theta[i] - mean[i])
