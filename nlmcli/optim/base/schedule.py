"""How the learning rate goes over a run.

lr(t) = peak · min(1, t / warmup) · decay(progress),   progress = share of the run after the warm-up that is done

plateau goes by validation instead: a quarter of the rate whenever an evaluation is no better than the best before it.
Mikolov et al. 2010 halve theirs so.
"""

import math
from collections.abc import Callable

FLOOR = 0.1  # linear and cosine end at a tenth of the peak
FALL = 4  # what plateau divides by

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1 - (1 - FLOOR) * progress,
    "cosine": lambda progress: FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)),  # Loshchilov & Hutter 2017
    "plateau": lambda progress: 1.0,
}


class Schedule:
    """The learning rates of one run, step by step. The peak is handed in: it may fall on the way."""

    def __init__(self, name: str, warmup: int = 0):
        """name: one of DECAYS.  warmup: steps until the peak is reached."""
        self.name, self.decay, self.warmup = name, DECAYS[name], warmup

    def rate(self, peak: float, step: int, progress: float) -> float:
        """The learning rate of a step (0-based), when that share of the run is done."""
        if step < self.warmup:
            return peak * (step + 1) / self.warmup
        return peak * self.decay(progress)

    def peak_after(self, peak: float, step: int, better: bool) -> float:
        """The peak after an evaluation, which plateau lowers where it was not better; during the warm-up it does not count."""
        return peak / FALL if self.name == "plateau" and not better and step > self.warmup else peak
