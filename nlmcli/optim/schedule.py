"""How the learning rate goes over a run.

lr(t) = peak · min(1, t / warmup) · decay(progress),   progress = share of the steps after the warm-up that are done
"""

import math
from collections.abc import Callable

from nlmcli.errors import InputError, suggest

FLOOR = 0.1  # linear and cosine end at a tenth of the peak

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1 - (1 - FLOOR) * progress,
    "cosine": lambda progress: FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)),  # Loshchilov & Hutter 2017
}


def decay_of(name: str) -> Callable[[float], float]:
    """The decay of that name.  Raises InputError for an unknown one."""
    if name not in DECAYS:
        raise InputError(f"unknown schedule {name!r}{suggest(name, sorted(DECAYS))}")
    return DECAYS[name]


def learning_rate(peak: float, decay: Callable[[float], float], warmup: int, step: int, steps: int) -> float:
    """The learning rate of a step (0-based) out of so many steps."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * decay((step - warmup) / max(1, steps - warmup))
