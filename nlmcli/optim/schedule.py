"""How the learning rate goes over a run.

lr(t) = peak · min(1, t / warmup) · decay(progress),   progress = share of the run after the warm-up that is done

plateau goes by validation instead: a quarter of the rate whenever an evaluation is no better than the best before it.
Mikolov et al. 2010 halve theirs so.
"""

import math
from collections.abc import Callable

from nlmcli.errors import InputError, suggest

FLOOR = 0.1  # linear and cosine end at a tenth of the peak
FALL = 4  # what plateau divides by

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1 - (1 - FLOOR) * progress,
    "cosine": lambda progress: FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)),  # Loshchilov & Hutter 2017
    "plateau": lambda progress: 1.0,
}


def decay_of(name: str) -> Callable[[float], float]:
    """The decay of that name.  Raises InputError for an unknown one."""
    if name not in DECAYS:
        raise InputError(f"unknown schedule {name!r}{suggest(name, sorted(DECAYS))}")
    return DECAYS[name]


class Schedule:
    """The learning rates of one run, step by step."""

    def __init__(self, name: str, peak: float, warmup: int = 0):
        """Raises InputError for an unknown name."""
        self.decay, self.peak, self.warmup = decay_of(name), peak, warmup
        self.plateau = name == "plateau"

    def rate(self, step: int, progress: float) -> float:
        """The learning rate of a step (0-based) before which so much of the run was done."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return self.peak * self.decay(progress)

    def evaluated(self, step: int, better: bool) -> None:
        """Take in how validation came out after so many steps; during the warm-up it does not count."""
        if self.plateau and not better and step > self.warmup:
            self.peak /= FALL
