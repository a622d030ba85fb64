"""The gradient of a batch as a sum over shards: pure calls that threads may share out in any way.

A batch is cut into shards of its columns; how many depends on the batch alone. Each shard has its own gradient vector,
and the vectors are added in one order: the bits do not depend on how many threads there were. Two parts of θ are large
when the vocabulary is, and are not summed so: of E's gradient only the rows of words that stood in the batch are
touched, and that of the output matrix is made by all shards together, a range of the vocabulary at a time.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from nlmcli.engine.gradient.large_head import LargeHead
from nlmcli.engine.gradient.threads import Threads
from nlmcli.engine.reading.batches import Batch
from nlmcli.models.base import Model, State
from nlmcli.nn.cross_entropy import head_draw
from nlmcli.nn.elementary import square_sum
from nlmcli.nn.kernel import kernel
from nlmcli.nn.params import Params
from nlmcli.nn.philox import Philox

SHARD, MOST_SHARDS = 16, 8  # columns that are enough for a shard, and how many shards there are at most
LARGE = 1024  # a vocabulary from which on the output matrix is worth a pass of its own
CHUNK = 1 << 14  # numbers whose squares are summed in single precision


def shards_of(batch_size: int) -> list[slice]:
    """The columns of each shard, as equal as can be: one for every sixteen columns, but from two to eight."""
    n = min(batch_size, MOST_SHARDS, max(2, batch_size // SHARD))
    return [slice(s * batch_size // n, (s + 1) * batch_size // n) for s in range(n)]


class Shard:
    """One shard's part of a step: pure calls, and what they hand on to each other."""

    def __init__(self, model: Model, batch: Batch, columns: slice, state: State, G: Params, rng: Any):
        self.model, self.state, self.G, self.rng = model, state, G, rng
        self.x, y = (np.ascontiguousarray(a[:, columns]) for a in (batch.x, batch.y))
        self.targets, self.loss = y.reshape(-1), 0.0
        self.words = model.words_read(self.x, state)

    def step(self, P: Params, scale: float, summed: list[slice]) -> None:
        """All of it, where the vocabulary is small: the output matrix's gradient goes into the shard's own vector."""
        self.clear(summed)
        self.loss, self.state = self.model.step(P, self.x, self.targets, self.state, scale, self.G, self.rng)

    def encode(self, P: Params, summed: list[slice]) -> None:
        self.clear(summed)
        h, self.state, self.cache = self.model.forward(P, self.x, self.state, self.rng)
        self.h = h.reshape(-1, h.shape[-1])

    def decode(self, dh: np.ndarray) -> None:
        self.model.backward(dh.reshape(*self.x.shape, -1), self.cache, self.G)

    def clear(self, summed: list[slice]) -> None:
        for part in summed:
            self.G.flat[part] = 0


class Team:
    """The threads of a run, the shards' gradient vectors they fill, and the head of a large vocabulary."""

    def __init__(self, model: Model, threads: int = 1):
        self.model, self.threads, self.workers = model, threads, Threads(threads)
        self.parts: list[Params] = []
        self.head = LargeHead(model.V, self.workers)
        self.parts_of: dict[tuple[bool, bool], list[slice]] = {}
        self.touched: list[np.ndarray] | None = []  # ids whose rows of G.E are not zero; None: any may be

    def start(self, batch_size: int, dtype: Any = np.float32) -> list[State]:
        """The state of every shard at the start of a text."""
        return [self.model.start(columns.stop - columns.start, dtype) for columns in shards_of(batch_size)]

    def restart(self, states: list[State], columns: np.ndarray) -> None:
        """Set the states of these columns of the batch (B,) to that at the start of a text."""
        for state, part in zip(states, shards_of(len(columns)), strict=True):
            if columns[part].any():
                afresh = self.model.start(int(columns[part].sum()))
                for memory, start in zip(state, afresh, strict=True):
                    memory[:, columns[part]] = start

    def gradient(
        self, P: Params, G: Params, batch: Batch, states: list[State], key: tuple[int, int] | None = None
    ) -> tuple[float, float, list[State]]:
        """The mean loss of a batch, |g|, and the states after it; G becomes dL/dθ.  key (seed, step) draws the dropout.

        G is zero before the first step, and the same vector from step to step: only what is not zero is cleared.
        """
        columns = shards_of(batch.x.shape[1])
        self.parts[:1] = [G]
        self.parts += [G.zeros_like() for _ in range(len(self.parts), len(columns))]
        rngs = [Philox(*key, s) if key else None for s in range(len(columns))]
        given = zip(columns, states, self.parts, rngs, strict=False)
        shards = [Shard(self.model, batch, *each) for each in given]
        scale = 1 / max(1, int(np.count_nonzero(batch.y >= 0)))
        large, tied = self.model.V >= LARGE, self.tied(G)
        sparse = large if tied else batch.x.size <= self.model.V
        summed = self.summed(G, sparse, large)
        self.clear(G, shards, sparse)
        if large:
            loss, squares = self.large_step(P, G, shards, scale, summed)
        else:
            self.workers.run([partial(shard.step, P, scale, summed) for shard in shards])
            loss, squares = sum(shard.loss for shard in shards), 0.0
        squares += self.add_up(G, [shard.G for shard in shards[1:]], summed)
        if sparse:
            squares += self.add_up_rows(G, shards, tied)
        return loss * scale, math.sqrt(squares), [shard.state for shard in shards]

    def large_step(self, P: Params, G: Params, shards: list[Shard], scale: float, summed: list[slice]) -> tuple[float, float]:
        """Encoders shard by shard, the head of all of them at once.  -> Σ nll, Σ g² of the head, 0 where it is tied"""
        self.workers.run([partial(shard.encode, P, summed) for shard in shards])
        h, targets = (np.concatenate([getattr(shard, name) for shard in shards]) for name in ("h", "targets"))
        loss, squares, dh = self.head.gradient(h, *self.model.head(P), targets, scale, *self.model.head(G))
        ends = np.cumsum([len(shard.h) for shard in shards])
        self.workers.run([partial(shard.decode, part) for shard, part in zip(shards, np.split(dh, ends[:-1]), strict=True)])
        return loss, squares

    def tied(self, G: Params) -> bool:
        """Whether E is the output matrix too. Then a small head writes all of E's gradient, in every shard; that of a large
        one is there before the encoders add the rows of their words, which are few beside it."""
        return np.may_share_memory(G.E, self.model.head(G)[0])

    def summed(self, G: Params, sparse: bool, large: bool) -> list[slice]:
        """The parts of θ whose gradients are summed over the shards: all but a sparse E and a large output matrix."""
        if (sparse, large) not in self.parts_of:
            apart = {"E"} if sparse else set()
            if large:
                apart |= {name for name, value in G.items() if any(np.may_share_memory(value, u) for u in self.model.head(G))}
            self.parts_of[sparse, large] = G.slices(name for name in G.shapes if name not in apart)
        return self.parts_of[sparse, large]

    def clear(self, G: Params, shards: list[Shard], sparse: bool) -> None:
        """Zero what will be added to but is not summed: the rows of a sparse E."""
        if sparse:
            for part in self.parts if self.touched is None else ():
                part.E[...] = 0
            for ids in self.touched or ():
                G.E[ids] = 0
        self.touched = [ids for shard in shards for ids in shard.words] if sparse else None

    def add_up(self, G: Params, others: list[Params], summed: list[slice]) -> float:
        """G = the sum of the shards' vectors, in their order.  -> Σ g²: chunks in single precision, their sums in double"""
        squares = 0.0
        for part in summed:
            g, sums = G.flat[part], np.empty(-(-(part.stop - part.start) // CHUNK))
            for more in [other.flat[part] for other in others] or [g[:0]]:
                self.workers.over(g.size, partial(add_part, g, more, sums))
            squares += float(sums.sum())
        return squares

    def add_up_rows(self, G: Params, shards: list[Shard], tied: bool) -> float:
        """The same for a sparse E, of whose gradient there are only the rows of words that were read, if it is not tied."""
        for shard in shards[1:]:
            for ids in shard.words:
                move_rows(G.E, shard.G.E, ids.reshape(-1))
        if tied:
            return self.add_up(G, [], G.slices(["E"]))
        seen = np.zeros(len(G.E), np.bool_)
        return sum(row_squares(G.E, ids.reshape(-1), seen) for ids in self.touched or ())

    def draw(self, P: Params, batch: Batch, states: list[State], key: tuple[int, int]) -> Batch:
        """The batch with targets drawn from the model's own predictions; padding stays.  key (seed, step): as in `gradient`."""
        y = np.empty_like(batch.y)
        given = enumerate(zip(shards_of(y.shape[1]), states, strict=True))
        self.workers.run([partial(draw_shard, self.model, P, batch, *each, (*key, s), y) for s, each in given])
        return replace(batch, y=y)


def draw_shard(model: Model, P: Params, batch: Batch, columns: slice, state: State, key: tuple[int, int, int], y: np.ndarray) -> None:
    """Fill a shard's columns of y.  The dropout is that of the shard's gradient; the draw has a generator of its own."""
    h, _, _ = model.forward(P, np.ascontiguousarray(batch.x[:, columns]), state, Philox(*key))
    targets = batch.y[:, columns].reshape(-1)
    u = np.random.default_rng([*key, 1]).random(targets.size)
    y[:, columns] = head_draw(h.reshape(-1, h.shape[-1]), *model.head(P), targets, u).reshape(batch.y[:, columns].shape)


def add_part(g: np.ndarray, more: np.ndarray, sums: np.ndarray, part: slice) -> None:
    add(g[part], more[part], sums[part.start // CHUNK :])


@kernel
def add(g, more, sums):
    """g += more, which may be empty; sums: of the squares of each chunk."""
    for k in range(0, g.size, CHUNK):
        a, b = g[k : k + CHUNK], more[k : k + CHUNK]
        for i in range(b.size):
            a[i] += b[i]
        sums[k // CHUNK] = square_sum(a)


@kernel
def row_squares(rows, ids, seen):
    """Σ of the squares of the rows of these ids, each counted once."""
    total = 0.0
    for k in range(ids.size):
        if not seen[ids[k]]:
            seen[ids[k]] = True
            total += square_sum(rows[ids[k]])
    return total


@kernel
def move_rows(to, rows, ids):
    """to[ids] += rows[ids], and the rows are zero again; an id that stands twice finds nothing the second time."""
    for k in range(ids.size):
        a, b = to[ids[k]], rows[ids[k]]
        for j in range(a.size):
            a[j] += b[j]
            b[j] = 0
