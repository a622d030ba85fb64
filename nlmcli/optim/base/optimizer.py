"""What every optimizer is."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from nlmcli.options import option

ALL = slice(None)

beta1 = partial(option, help="β₁: decay rate of the running mean of gradients.", metavar="X", least=0, below=1)
beta2 = partial(option, help="β₂: decay rate of the running mean of squared gradients.", metavar="X", least=0, below=1)
epsilon = partial(option, help="ε: keeps a division from being by zero.", metavar="X", least=0)
weight_decay = partial(option, help="Weight decay, decoupled: the share of η by which weights shrink in a step.", metavar="X", least=0)


class Optimizer:
    """A rule that changes θ by its gradient, and what the rule remembers from step to step.

    A subclass says its equation, `Config` (its constants), `lr` (a learning rate that works to begin with),
    `remembers` (the names of the vectors it keeps beside θ) and `step`.
    """

    Config: ClassVar[type]
    lr: ClassVar[float]
    remembers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any, size: int, dtype: Any = np.float32, decayed: Sequence[slice] = ()):
        """decayed: the parts of θ that weight decay shrinks, in order, where the rule has any."""
        self.config = config
        self.memory = {name: np.zeros(size, dtype) for name in self.remembers}
        self.ends = [end for part in decayed for end in (part.start, part.stop)] + [size]

    def step(self, theta: np.ndarray, g: np.ndarray, scale: float, lr: float, t: int, part: slice = ALL) -> None:
        """Change θ (in place) by the gradient scale · g.  t counts steps from 1.  part: of the vectors; threads share them out."""
        raise NotImplementedError

    def wants_curvature(self, t: int) -> bool:
        """Whether `measure` is to be called before step t."""
        return False

    def measure(self, g: np.ndarray, n: int, part: slice = ALL) -> None:
        """Take in the gradient g of the mean loss of n tokens that were drawn from the model's own predictions."""
        raise NotImplementedError

    def stretches(self, part: slice, kept: float) -> Iterator[tuple[slice, float]]:
        """What a part of θ consists of, in order, with the factor of each before the step: kept where it is decayed, else 1."""
        if kept == 1:
            yield part, kept
            return
        start, stop, _ = part.indices(self.ends[-1])
        for k, end in enumerate(self.ends):
            if start < (end := min(end, stop)):
                yield slice(start, end), kept if k % 2 else 1.0
                start = end
