"""What a sweep will take: time and memory, from measured steps of some of its trials."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.run.ownership import release
from nlmcli.engine.sweep.space import Space
from nlmcli.engine.training.length import Steps
from nlmcli.engine.training.train import Training, required_memory
from nlmcli.models import MODELS

MEASURED = 8  # trials of which a step is timed, at most


@dataclass(frozen=True)
class Forecast:
    """seconds: of all trials, one after another, without evaluations; memory: bytes of the largest trial, without its batches.

    Either is None if it is unknown, as of models that are counted.
    """

    trials: int
    measured: int
    seconds: float | None
    memory: int | None


def forecast(space: Space, threads: int) -> Forecast:
    """Time a step of trials spread evenly over the sweep."""
    sample = sample_points(space)
    measured = [each for point in sample if (each := measure(space, point, threads)) is not None]
    if not measured:
        return Forecast(space.trials, 0, None, None)
    seconds = float(np.mean([seconds for seconds, _ in measured])) * space.trials
    return Forecast(space.trials, len(measured), seconds, max(memory for _, memory in measured))


def sample_points(space: Space) -> Sequence[dict[str, Any]]:
    """Some points of the sweep; of tpe, whose points are not known before, random ones."""
    numbers = np.unique(np.linspace(0, space.trials - 1, MEASURED).astype(int))
    if space.method != "tpe":
        return [space.point(int(n)) for n in numbers]
    rng = np.random.default_rng(space.method_seed)
    return [{name: each.draw(rng) for name, each in space.varied.items()} for _ in numbers]


def measure(space: Space, point: dict[str, Any], threads: int) -> tuple[float, int] | None:
    """Seconds of a run at this point, and bytes; None of a model that is counted."""
    settings = space.settings(point)
    if not MODELS.get(settings.model).neural:
        return None
    with tempfile.TemporaryDirectory() as folder:
        training = Training(settings, Path(folder) / "run", threads)
        try:
            memory = required_memory(settings, training.lm.P.flat.size)
            if not isinstance(training.length, Steps):
                return 60 * (settings.minutes or 0), memory
            batch = training.batches.batch(0)
            training.learner.warm_up(batch)  # compiles
            return training.learner.warm_up(batch) * training.length.steps, memory
        finally:
            release(training.folder)
