"""The base class of every optimizer, and options that several share."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from nlmcli.options import ADVANCED, option

ALL = slice(None)

beta1 = partial(option, help="β₁: decay rate of the running mean of gradients.", metavar="X", panel=ADVANCED, least=0, below=1)
beta2 = partial(option, help="β₂: decay rate of the running mean of squared gradients.", metavar="X", panel=ADVANCED, least=0, below=1)
epsilon = partial(option, help="ε: avoids division by zero.", metavar="X", panel=ADVANCED, least=0)
weight_decay = partial(option, help="Decoupled weight decay λ: each step multiplies the weights by 1 - η λ.", metavar="X", least=0)


class Optimizer:
    """A rule that updates θ by its gradient, with the state that it keeps from step to step.

    A subclass defines its equation, `Config` (its constants), `lr` (a learning rate to start from),
    `state_names` (the names of its state vectors, each as long as θ) and `step`.
    """

    Config: ClassVar[type]
    lr: ClassVar[float]
    state_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any, size: int, dtype: Any = np.float32, decayed: Sequence[slice] = ()):
        """decayed: the slices of θ that weight decay shrinks, in order; ignored by rules without weight decay."""
        self.config = config
        self.memory = {name: np.zeros(size, dtype) for name in self.state_names}
        self.boundaries = [end for part in decayed for end in (part.start, part.stop)] + [size]

    def step(self, theta: np.ndarray, g: np.ndarray, scale: float, lr: float, t: int, part: slice = ALL) -> None:
        """Update θ in place by the gradient scale · g.  t: number of the step, from 1.  part: the slice to update, one per thread."""
        raise NotImplementedError

    def needs_curvature(self, t: int) -> bool:
        """Whether `measure` must be called before step t."""
        return False

    def measure(self, g: np.ndarray, n: int, part: slice = ALL) -> None:
        """Update the curvature estimate by the gradient g of the mean loss of n tokens sampled from the model's own predictions."""
        raise NotImplementedError

    def decay_factors(self, part: slice, decay: float) -> Iterator[tuple[slice, float]]:
        """The pieces of a part of θ, in order, each with the factor to apply before the step: `decay` if it is decayed, else 1."""
        if decay == 1:
            yield part, decay
            return
        start, stop, _ = part.indices(self.boundaries[-1])
        for k, end in enumerate(self.boundaries):
            if start < (end := min(end, stop)):
                yield slice(start, end), decay if k % 2 else 1.0
                start = end
