"""The gradient of a batch as a sum over shards: pure calls that threads may share out in any way.

A batch is cut into a fixed number of shards of its columns. Each shard has its own gradient vector, and the vectors are
added in one order: the bits do not depend on how many threads there were.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from nlmcli.engine.data import Batch
from nlmcli.models.base import Model, State
from nlmcli.nn.cross_entropy import head_gradient
from nlmcli.nn.params import Params

SHARDS = 4


def available_threads() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def loss_and_gradient(model: Model, P: Params, G: Params, batch: Batch, state: State, scale: float, rng=None):
    """Σ nll over the batch's targets, and the state after it; dL/dθ of L = scale · Σ nll is added into G."""
    h, state, cache = model.forward(P, batch.x, state, rng)
    rows = h.reshape(-1, h.shape[-1])
    total, dh = head_gradient(rows, *model.head(P), batch.y.reshape(-1), scale, *model.head(G))
    model.backward(dh.reshape(h.shape), cache, G)
    return total, state


@dataclass
class Team:
    """Threads, and the shards' gradients they fill."""

    model: Model
    threads: int = 1
    parts: list[Params] = field(default_factory=list)

    def __post_init__(self):
        self.pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def start(self, batch_size: int, dtype=np.float32) -> list[State]:
        """The state of every shard at the start of a text."""
        return [self.model.start(columns.stop - columns.start, dtype) for columns in shards_of(batch_size)]

    def gradient(self, P: Params, G: Params, batch: Batch, states: list[State], key: tuple[int, int] | None = None):
        """The mean loss of a batch, and the states after it; G becomes dL/dθ.  key (seed, step) draws the dropout."""
        columns = shards_of(batch.x.shape[1])
        n = max(1, int(np.count_nonzero(batch.y >= 0)))
        while len(self.parts) < len(columns):
            self.parts.append(G if not self.parts else G.zeros_like())

        def shard(s):
            part = Batch(*(np.ascontiguousarray(a[:, columns[s]]) for a in (batch.x, batch.y)), batch.fresh)
            rng = None if key is None else np.random.default_rng([*key, s])
            self.parts[s].flat[:] = 0
            return loss_and_gradient(self.model, P, self.parts[s], part, states[s], 1 / n, rng)

        results = list((self.pool.map if self.pool else map)(shard, range(len(columns))))
        for part in self.parts[1 : len(columns)]:
            G.flat += part.flat
        return sum(total for total, _ in results) / n, [state for _, state in results]


def shards_of(batch_size: int) -> list[slice]:
    """The columns of each shard: at most SHARDS, as equal as can be."""
    n = min(SHARDS, batch_size)
    return [slice(s * batch_size // n, (s + 1) * batch_size // n) for s in range(n)]
