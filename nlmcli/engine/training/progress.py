"""What a run has counted so far. It is saved and restored whole, so that a resumed run goes on as if it had never stopped."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass
class Progress:
    """Counts of a run. Beside them, a run is determined by its settings, its text and what its learner remembers."""

    peak: float  # the learning rate at its peak; it falls when the run is rolled back, or by --schedule plateau
    step: int = 0
    since: int = 0  # the step of the last evaluation
    best: float = math.inf  # the lowest validation loss
    waited: int = 0  # evaluations since then
    stepping: float = 0.0  # seconds spent in steps
    evaluating: float = 0.0  # seconds of the last evaluation
    valid_loss: float | None = None  # of the last evaluation
    bits: float | None = None  # bits per character of the held-out text at the best evaluation
    seconds: float = 0.0  # since the beginning
    troubles: int = 0  # how often the run was rolled back
    pending: int = 0  # losses that had no row in metrics.csv yet
    losses: list[float] = field(default_factory=list)  # of every step

    def stepped(self, loss: float, seconds: float) -> None:
        """Take in a step and the seconds it took."""
        self.step += 1
        self.losses.append(loss)
        self.stepping += seconds

    def evaluated(self, valid_loss: float, bits: float) -> bool:
        """Take in an evaluation, its loss in nats per token and its bits per character.  -> whether it is the best so far"""
        better = valid_loss < self.best
        self.valid_loss, self.since = valid_loss, self.step
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best, self.bits = valid_loss, bits
        return better

    def to_dict(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All of it, as a checkpoint holds it: arrays, and what is JSON."""
        counts = asdict(self)
        losses = np.array(counts.pop("losses"), np.float64)
        return {"losses": losses}, counts | {"best": finite(self.best)}

    @classmethod
    def from_dict(cls, arrays: dict[str, np.ndarray], counts: dict[str, Any]) -> "Progress":
        """What `to_dict` wrote."""
        best = math.inf if counts["best"] is None else counts["best"]
        return cls(**counts | {"best": best}, losses=arrays["losses"].tolist())


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or not a number."""
    return value if math.isfinite(value) else None
