"""What every optimizer is."""

from typing import Any, ClassVar

import numpy as np

ALL = slice(None)


class Optimizer:
    """A rule that changes θ by its gradient, and what the rule remembers from step to step.

    A subclass says its equation, `Config` (its constants), `lr` (a learning rate that works to begin with),
    `remembers` (the names of the vectors it keeps beside θ) and `step`.
    """

    Config: ClassVar[type]
    lr: ClassVar[float]
    remembers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any, size: int, dtype: Any = np.float32):
        self.config = config
        self.memory = {name: np.zeros(size, dtype) for name in self.remembers}

    def step(self, theta: np.ndarray, g: np.ndarray, scale: float, lr: float, t: int, part: slice = ALL) -> None:
        """Change θ (in place) by the gradient scale · g.  t counts steps from 1.  part: of the vectors; threads share them out."""
        raise NotImplementedError
