"""The answers of a labelled text, as training found them: the labels, or the mean and the deviation of the numbers."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Labels:
    """names: the labels, the commonest first, with their counts in the training part; empty for numbers.

    mean, deviation: of the numbers.  paired: two texts an example.  examples: their number.
    """

    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0
    paired: bool = False
    examples: int = 0

    def index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def weights(self, balance: bool) -> np.ndarray:
        """What a target of each label weighs in the loss: 1, or if balanced so that all labels weigh the same and the mean is 1."""
        if not balance:
            return np.ones(len(self.names))
        return sum(self.counts) / (len(self.counts) * np.array(self.counts, np.float64))

    def positive(self, asked: str | None) -> str:
        """Of two labels, the one that precision, recall and F1 are about: the one asked for, or the rarer one."""
        return asked or self.names[1]

    def guessing(self) -> float:
        """The loss of an untrained model: that of equally probable labels, or that of the mean."""
        return math.log(max(2, len(self.names))) if self.names else 1.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "Labels":
        return cls(**saved | {"names": tuple(saved["names"]), "counts": tuple(saved["counts"])})
