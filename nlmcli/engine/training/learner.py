"""What learns: parameters, and an optimizer that changes them by the gradient of a batch."""

import time
from typing import Any

import numpy as np

from nlmcli.engine.gradient.team import Team
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.models.base import State
from nlmcli.optim import OPTIMIZERS
from nlmcli.optim.base.clip import clip_scale
from nlmcli.optim.base.schedule import Schedule


class Learner:
    """Parameters, their gradient, the optimizer, its schedule, the threads, and the states carried from batch to batch.

    Everything random is drawn from the seed and the number of the step: with the same arrays, it learns the same.
    """

    def __init__(self, lm: LanguageModel, threads: int):
        s = lm.settings
        self.P, self.G, self.seed, self.clip = lm.P, lm.P.zeros_like(), s.seed, s.clip
        self.drops, self.schedule = lm.model.config.dropout > 0, Schedule(s.schedule, s.warmup)
        Optimizer = OPTIMIZERS.get(s.optimizer)
        self.optimizer = Optimizer(s.optimizer_config(), lm.P.flat.size, decayed=lm.P.slices(lm.model.matrices()))
        self.team = Team(lm.model, threads)
        self.states: list[State] = []

    def update(self, batch: Batch, step: int, lr: float) -> tuple[float, float]:
        """Take a step (0-based): change the parameters by the gradient of a batch.  -> loss, |g|"""
        P, G = self.P, self.G
        if batch.fresh:
            self.states = self.team.start(batch.x.shape[1])
        elif batch.restarts is not None:
            self.team.restart(self.states, batch.restarts)
        key = (self.seed, step)
        if self.optimizer.wants_curvature(step + 1):
            self.measure_curvature(batch, key)
        loss, norm, self.states = self.team.gradient(P, G, batch, self.states, key if self.drops else None)
        scale = clip_scale(norm, self.clip)
        self.team.workers.over(P.flat.size, lambda part: self.optimizer.step(P.flat, G.flat, scale, lr, step + 1, part))
        return loss, norm

    def measure_curvature(self, batch: Batch, key: tuple[int, int]) -> None:
        """Give the optimizer the gradient of this batch with targets drawn from the model's own predictions."""
        P, G = self.P, self.G
        drawn = self.team.draw(P, batch, self.states, key)
        self.team.gradient(P, G, drawn, self.states, key)
        n = int(np.count_nonzero(drawn.y >= 0))
        self.team.workers.over(G.flat.size, lambda part: self.optimizer.measure(G.flat, n, part))

    def warm_up(self, batch: Batch) -> float:
        """Take a step that changes nothing, so that every kernel is compiled or read from the cache.  -> seconds"""
        start, key = time.perf_counter(), (self.seed, 0)
        states = self.team.start(batch.x.shape[1])
        self.team.gradient(self.P, self.G, batch, states, key if self.drops else None)
        one, optimizer = np.zeros(1, np.float32), type(self.optimizer)(self.optimizer.config, 1)
        optimizer.step(one, one, 1.0, 0.0, 1)
        if optimizer.wants_curvature(1):
            self.team.draw(self.P, batch, states, key)
            optimizer.measure(one, 1)
        return time.perf_counter() - start

    def arrays(self) -> dict[str, np.ndarray]:
        """What it remembers besides the parameters, by name."""
        found = {f"optimizer.{name}": memory for name, memory in self.optimizer.memory.items()}
        for shard, state in enumerate(self.states):
            found |= {f"state.{shard}.{k}": memory for k, memory in enumerate(state)}
        return found

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over parameters and what `arrays` gave."""
        for name, value in self.P.items():
            value[...] = arrays[name]
        for name, memory in self.optimizer.memory.items():
            memory[...] = arrays[f"optimizer.{name}"]
        shards = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("state.")})
        self.states = [state_of(arrays, f"state.{shard}.") for shard in shards]


def state_of(arrays: dict[str, Any], prefix: str) -> State:
    """The arrays of one shard's state, copied, in order."""
    names = sorted((name for name in arrays if name.startswith(prefix)), key=lambda name: int(name.removeprefix(prefix)))
    return tuple(arrays[name].copy() for name in names)
