"""The length of a run, in steps or in minutes. Its methods take the steps done and the seconds since the run started."""

import math
from collections.abc import Callable

from nlmcli.engine.run.settings import Settings
from nlmcli.heads import HEADS

DEFAULT_EPOCHS, MIN_STEPS, MAX_STEPS = 10, 1000, 5000  # if no option gives the length: epochs, within these bounds in steps
MAX_LABELLED = 10000  # the most steps on labelled texts, which are shorter

Trigger = Callable[[int, float], bool]  # (steps, seconds) -> whether a recurring action is due


class Steps:
    """A run of a given number of steps."""

    def __init__(self, steps: int, warmup: int = 0):
        self.steps, self.warmup = steps, warmup

    def progress(self, step: int, seconds: float) -> float:
        """The completed fraction of the steps after the warm-up."""
        return (step - self.warmup) / max(1, self.steps - self.warmup)

    def seconds_left(self, step: int, seconds: float) -> float:
        """The remaining seconds, at the average speed so far."""
        return seconds / step * (self.steps - step)

    def is_complete(self, step: int, seconds: float) -> bool:
        return step >= self.steps

    def evenly_spaced(self, n: int, elapsed: float = 0.0) -> Trigger:
        """Due n times in the run, at equal intervals in steps."""
        return every(max(1, self.steps // n))


class Minutes:
    """A run of a given duration, with as many steps as fit into it."""

    steps = None

    def __init__(self, minutes: float):
        self.seconds = 60 * minutes

    def progress(self, step: int, seconds: float) -> float:
        """The elapsed fraction of the time."""
        return min(1.0, seconds / self.seconds)

    def seconds_left(self, step: int, seconds: float) -> float:
        return max(0.0, self.seconds - seconds)

    def is_complete(self, step: int, seconds: float) -> bool:
        return seconds >= self.seconds

    def evenly_spaced(self, n: int, elapsed: float = 0.0) -> Trigger:
        """Due whenever another n-th of the time has passed.  elapsed: seconds of a resumed run so far."""
        passed = int(self.progress(0, elapsed) * n)

        def is_due(step: int, seconds: float) -> bool:
            nonlocal passed
            before, passed = passed, int(self.progress(step, seconds) * n)
            return passed > before

        return is_due


Length = Steps | Minutes


def every(n: int) -> Trigger:
    """Due every n steps; never for n = 0."""
    return lambda step, seconds: n > 0 and step % n == 0


def length_of(s: Settings, steps_per_epoch: int) -> Length:
    """The length that the options give; by default ten epochs, but at least MIN_STEPS and at most MAX_STEPS steps."""
    if s.minutes:
        return Minutes(s.minutes)
    most = MAX_LABELLED if HEADS.get(s.task).labelled else MAX_STEPS
    epoch_steps = math.ceil(s.epochs * steps_per_epoch) if s.epochs else min(max(DEFAULT_EPOCHS * steps_per_epoch, MIN_STEPS), most)
    return Steps(s.steps or epoch_steps, s.warmup)
