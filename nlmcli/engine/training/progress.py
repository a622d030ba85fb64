"""The counters of a run. They are saved and restored together, so that a resumed run continues as if it had never stopped."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass
class Progress:
    """The counters of a run. With its settings, its text and the learner's state they determine how it continues."""

    peak: float  # peak learning rate; lowered by a rollback, or by --schedule plateau
    step: int = 0
    since: int = 0  # step of the last evaluation
    best: float = math.inf  # validation loss of the best evaluation
    best_figure: float | None = None  # the task's own figure there
    figure_name: str | None = None
    waited: int = 0  # evaluations since the best one
    stepping: float = 0.0  # seconds spent in steps
    evaluating: float = 0.0  # seconds of the last evaluation
    valid_loss: float | None = None  # of the last evaluation
    bits: float | None = None  # bits per character of the held-out text at the best evaluation
    seconds: float = 0.0  # since the start
    troubles: int = 0  # number of rollbacks
    pending: int = 0  # losses not yet in a row of metrics.csv
    losses: list[float] = field(default_factory=list)  # of every step

    def record_step(self, loss: float, seconds: float) -> None:
        """Count a step, with its loss and duration."""
        self.step += 1
        self.losses.append(loss)
        self.stepping += seconds

    def record_evaluation(self, valid_loss: float, bits: float | None, figure: tuple[str, float] | None = None) -> bool:
        """Count an evaluation, with its loss in nats per token and its bits per character.  -> whether it is the best so far

        figure: name and value of the task's own figure; the best has the highest one, of equals the lowest loss.
        """
        is_best = valid_loss < self.best
        if figure:
            before = -math.inf if self.best_figure is None else self.best_figure
            is_best = (figure[1], -valid_loss) > (before, -self.best)
        self.valid_loss, self.since = valid_loss, self.step
        self.waited = 0 if is_best else self.waited + 1
        if is_best:
            self.best, self.bits = valid_loss, bits
            self.figure_name, self.best_figure = figure or (None, None)
        return is_best

    def to_dict(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The counters as a checkpoint holds them.  -> arrays, values for JSON"""
        counters = asdict(self)
        losses = np.array(counters.pop("losses"), np.float64)
        return {"losses": losses}, counters | {"best": finite_or_none(self.best)}

    @classmethod
    def from_dict(cls, arrays: dict[str, np.ndarray], counters: dict[str, Any]) -> "Progress":
        """The inverse of `to_dict`."""
        best = math.inf if counters["best"] is None else counters["best"]
        return cls(**counters | {"best": best}, losses=arrays["losses"].tolist())


def finite_or_none(value: float) -> float | None:
    """The value, or None if it is infinite or NaN."""
    return value if math.isfinite(value) else None
