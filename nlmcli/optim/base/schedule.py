"""Learning rate schedules.

lr(t) = peak · min(1, t / warmup) · decay(progress),   progress = completed fraction of the run after the warm-up

plateau follows the validation loss instead: it divides the rate by four whenever an evaluation does not improve on the best
before. Mikolov et al. 2010 halve it.
"""

import math
from collections.abc import Callable

FLOOR = 0.1  # linear and cosine end at a tenth of the peak
PLATEAU_DIVISOR = 4

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1 - (1 - FLOOR) * progress,
    "cosine": lambda progress: FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)),  # Loshchilov & Hutter 2017
    "plateau": lambda progress: 1.0,
}


class Schedule:
    """The learning rate of each step of a run. The peak is an argument, since it may fall during the run."""

    def __init__(self, name: str, warmup: int = 0):
        """name: one of DECAYS.  warmup: number of warm-up steps, after which the peak is reached."""
        self.name, self.decay, self.warmup = name, DECAYS[name], warmup

    def rate(self, peak: float, step: int, progress: float) -> float:
        """The learning rate of a step (0-based) at this progress."""
        if step < self.warmup:
            return peak * (step + 1) / self.warmup
        return peak * self.decay(progress)

    def peak_after(self, peak: float, step: int, improved: bool) -> float:
        """The peak after an evaluation: plateau lowers it if the loss has not improved, except during the warm-up."""
        return peak / PLATEAU_DIVISOR if self.name == "plateau" and not improved and step > self.warmup else peak
