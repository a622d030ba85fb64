"""The trainable side of a run: parameters, and an optimizer that updates them by the gradient of a batch."""

import time
from typing import Any

import numpy as np

from nlmcli.engine.gradient.team import Team
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run.saved import Saved
from nlmcli.models.base import State
from nlmcli.nn.precision import products_in
from nlmcli.optim import OPTIMIZERS
from nlmcli.optim.base.clip import clip_scale
from nlmcli.optim.base.schedule import Schedule


class Learner:
    """Parameters, their gradient, the optimizer, its schedule, the threads, and the states carried from batch to batch.

    All random numbers depend on the seed and the step number alone: the same arrays give the same updates.
    """

    def __init__(self, lm: Saved, threads: int):
        s = lm.settings
        self.P, self.G, self.seed, self.clip = lm.P, lm.P.zeros_like(), s.seed, s.clip
        self.is_random, self.schedule = lm.model.is_random, Schedule(s.schedule, s.warmup)
        Optimizer = OPTIMIZERS.get(s.optimizer)
        self.optimizer = Optimizer(s.optimizer_config(), lm.P.flat.size, decayed=lm.P.slices(lm.model.matrices()))
        self.team, self.products = Team(lm.model, threads), products_in(s.precision)
        self.states: list[State] = []

    def update(self, batch: Batch, step: int, lr: float) -> tuple[float, float]:
        """Update the parameters by the clipped gradient of a batch.  step: counted from 0.  -> loss, |g| before clipping"""
        P, G = self.P, self.G
        if batch.fresh:
            self.states = self.team.start(batch.x.shape[1])
        elif batch.restarts is not None:
            self.team.restart(self.states, batch.restarts)
        key = (self.seed, step)
        with self.products:
            if self.optimizer.needs_curvature(step + 1):
                self.update_curvature(batch, key)
            loss, norm, self.states = self.team.gradient(P, G, batch, self.states, key if self.is_random else None)
        scale = clip_scale(norm, self.clip)
        self.team.workers.over(P.flat.size, lambda part: self.optimizer.step(P.flat, G.flat, scale, lr, step + 1, part))
        return loss, norm

    def update_curvature(self, batch: Batch, key: tuple[int, int]) -> None:
        """Pass the optimizer the gradient of this batch for targets sampled from the model's own predictions."""
        P, G = self.P, self.G
        sampled = self.team.draw(P, batch, self.states, key)
        self.team.gradient(P, G, sampled, self.states, key)
        n = sampled.targets
        self.team.workers.over(G.flat.size, lambda part: self.optimizer.measure(G.flat, n, part))

    def gain_of_bf16(self, batch: Batch, seconds: float) -> float:
        """How many times as fast a step that takes so many seconds would be in bf16: measured on the second step that changes nothing."""
        usual, self.products = self.products, products_in("bf16")
        try:
            self.warm_up(batch)
            return seconds / self.warm_up(batch)
        finally:
            self.products = usual

    def warm_up(self, batch: Batch) -> float:
        """Take a step that changes nothing, so that every kernel is compiled or loaded from the cache.  -> seconds"""
        start, key = time.perf_counter(), (self.seed, 0)
        states = self.team.start(batch.x.shape[1])
        with self.products:
            self.team.gradient(self.P, self.G, batch, states, key if self.is_random else None)
            if self.optimizer.needs_curvature(1):
                self.team.draw(self.P, batch, states, key)
        dummy, optimizer = np.zeros(1, np.float32), type(self.optimizer)(self.optimizer.config, 1)
        optimizer.step(dummy, dummy, 1.0, 0.0, 1)
        if optimizer.needs_curvature(1):
            optimizer.measure(dummy, 1)
        return time.perf_counter() - start

    def state_dict(self) -> dict[str, np.ndarray]:
        """The optimizer state and the model states, by name; without the parameters."""
        arrays = {f"optimizer.{name}": memory for name, memory in self.optimizer.memory.items()}
        for shard, state in enumerate(self.states):
            arrays |= {f"state.{shard}.{k}": memory for k, memory in enumerate(state)}
        return arrays

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Copy the parameters and what `state_dict` returned from the arrays of a checkpoint."""
        for name, value in self.P.items():
            value[...] = arrays[name]
        for name, memory in self.optimizer.memory.items():
            memory[...] = arrays[f"optimizer.{name}"]
        shards = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("state.")})
        self.states = [shard_state(arrays, f"state.{shard}.") for shard in shards]


def shard_state(arrays: dict[str, Any], prefix: str) -> State:
    """Copies of the arrays of one shard's state, in order."""
    names = sorted((name for name in arrays if name.startswith(prefix)), key=lambda name: int(name.removeprefix(prefix)))
    return tuple(arrays[name].copy() for name in names)
