"""The trainable side of a run: parameters, and an optimizer that updates them by the gradient of a batch."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nlmcli.engine.gradient.ranks import ranks
from nlmcli.engine.gradient.team import Team
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run.saved import AVERAGE, Saved
from nlmcli.models.base import State
from nlmcli.nn.precision import PRECISIONS, products_in
from nlmcli.optim import OPTIMIZERS
from nlmcli.optim.base.average import Average
from nlmcli.optim.base.clip import clip_scale
from nlmcli.optim.base.schedule import Schedule

TRIALS = 4  # steps in each precision


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
        self.team, self.products = Team(lm.model, threads, ranks()), products_in(s.precision)
        self.states: list[State] = []
        self.average = None if s.average is None else Average(lm.P.flat, s.average)

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
        self.team.workers.over(P.flat.size, lambda part: self.update_part(scale, lr, step + 1, part))
        return loss, norm

    def update_part(self, scale: float, lr: float, t: int, part: slice) -> None:
        """Step t, counted from 1, for a part of the parameters and their average."""
        self.optimizer.step(self.P.flat, self.G.flat, scale, lr, t, part)
        if self.average:
            self.average.follow(self.P.flat, t, part)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """A context in which the parameters are their average, if there is one."""
        if self.average is None:
            yield
            return
        last = self.P.flat.copy()
        self.P.flat[:] = self.average.mean
        try:
            yield
        finally:
            self.P.flat[:] = last

    def update_curvature(self, batch: Batch, key: tuple[int, int]) -> None:
        """Pass the optimizer the gradient of this batch for targets sampled from the model's own predictions."""
        P, G = self.P, self.G
        sampled = self.team.draw(P, batch, self.states, key)
        self.team.gradient(P, G, sampled, self.states, key)
        n = sampled.targets
        self.team.workers.over(G.flat.size, lambda part: self.optimizer.measure(G.flat, n, part))

    def gain_of_bf16(self, batch: Batch) -> float:
        """How many times as fast a step is in bf16: the fastest of a few that change nothing, in turn with as many in float32."""
        usual, fastest = self.products, dict.fromkeys(PRECISIONS, math.inf)
        try:
            for _ in range(TRIALS):
                for precision in PRECISIONS:
                    self.products = products_in(precision)
                    fastest[precision] = min(fastest[precision], self.warm_up(batch))
        finally:
            self.products = usual
        return fastest["float32"] / fastest["bf16"]

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
        """The optimizer state and the model states of all ranks, by name; without the parameters."""
        arrays = {f"optimizer.{name}": memory for name, memory in self.optimizer.memory.items()}
        if self.average:
            arrays[AVERAGE] = self.average.mean
        here = self.team.ranks
        for shard, state in enumerate(here.all_of([self.states[s] for s in here.share(len(self.states))])):
            arrays |= {f"state.{shard}.{k}": memory for k, memory in enumerate(state)}
        return arrays

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Copy the parameters and what `state_dict` returned from the arrays of a checkpoint."""
        for name, value in self.P.items():
            value[...] = arrays[name]
        for name, memory in self.optimizer.memory.items():
            memory[...] = arrays[f"optimizer.{name}"]
        if self.average:
            self.average.mean[:] = arrays[AVERAGE]
        shards = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("state.")})
        self.states = [shard_state(arrays, f"state.{shard}.") for shard in shards]
        widths = [state[0].shape[1] for state in self.states]
        columns = self.team.columns(sum(widths)) if widths else []
        if widths != [part.stop - part.start for part in columns]:
            self.states = resplit(self.states, columns)


def resplit(states: list[State], columns: list[slice]) -> list[State]:
    """The states of the shards of these columns, from those of a run that may have split its batches otherwise."""
    whole = [np.concatenate(parts, axis=1) for parts in zip(*states, strict=True)]
    return [tuple(memory[:, part].copy() for memory in whole) for part in columns]


def shard_state(arrays: dict[str, Any], prefix: str) -> State:
    """Copies of the arrays of one shard's state, in order."""
    names = sorted((name for name in arrays if name.startswith(prefix)), key=lambda name: int(name.removeprefix(prefix)))
    return tuple(arrays[name].copy() for name in names)
