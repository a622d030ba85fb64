"""How long a run is: so many steps, or so much time. Where a run is, is told by both: steps done, and seconds since it began."""

import math
from collections.abc import Callable

from nlmcli.engine.run.settings import Settings

EPOCHS, LEAST, MOST = 10, 1000, 5000  # where no option says how long: epochs, but so many steps

Due = Callable[[int, float], bool]  # (steps, seconds) -> whether it is time again


class Steps:
    """A run of so many steps."""

    def __init__(self, steps: int, warmup: int = 0):
        self.steps, self.warmup = steps, warmup

    def progress(self, step: int, seconds: float) -> float:
        """The share of the steps after the warm-up that is done."""
        return (step - self.warmup) / max(1, self.steps - self.warmup)

    def left(self, step: int, seconds: float) -> float:
        """The seconds that are left, at the speed so far."""
        return seconds / step * (self.steps - step)

    def over(self, step: int, seconds: float) -> bool:
        return step >= self.steps

    def times(self, n: int, since: float = 0.0) -> Due:
        """Due n times, at equal distances."""
        return every(max(1, self.steps // n))


class Minutes:
    """A run of so much time, in which as many steps are taken as there is time for."""

    steps = None

    def __init__(self, minutes: float):
        self.seconds = 60 * minutes

    def progress(self, step: int, seconds: float) -> float:
        """The share of the time that is used up."""
        return min(1.0, seconds / self.seconds)

    def left(self, step: int, seconds: float) -> float:
        return max(0.0, self.seconds - seconds)

    def over(self, step: int, seconds: float) -> bool:
        return seconds >= self.seconds

    def times(self, n: int, since: float = 0.0) -> Due:
        """Due whenever another n-th of the time has gone by.  since: the seconds of a run that is resumed."""
        done = int(self.progress(0, since) * n)

        def due(step: int, seconds: float) -> bool:
            nonlocal done
            before, done = done, int(self.progress(step, seconds) * n)
            return done > before

        return due


Length = Steps | Minutes


def every(n: int) -> Due:
    """Due every n steps; for n = 0 never."""
    return lambda step, seconds: n > 0 and step % n == 0


def length_of(s: Settings, steps_per_epoch: int) -> Length:
    """As the options say; or ten epochs, but enough steps for a short text, and no more than a few minutes' worth of a long one."""
    if s.minutes:
        return Minutes(s.minutes)
    epochs = math.ceil(s.epochs * steps_per_epoch) if s.epochs else min(max(EPOCHS * steps_per_epoch, LEAST), MOST)
    return Steps(s.steps or epochs, s.warmup)
