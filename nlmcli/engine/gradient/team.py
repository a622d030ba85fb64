"""The gradient of a batch, data parallel: a sum over shards, each a pure function that any thread may compute.

A batch is split by columns into shards; their number depends on the batch alone. Each shard has its own gradient vector, and
the vectors are summed in a fixed order, so the bits do not depend on the number of threads, nor on that of the processes that
share the shards (see ranks.py). Two parts of θ are large when the
vocabulary is, and are not summed this way: the gradient of the table of embeddings has only the rows of what occurs in the
batch, and that of the output matrix is computed for all shards together, one range of the vocabulary at a time.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from nlmcli.engine.gradient.large_head import LargeHead
from nlmcli.engine.gradient.ranks import Ranks
from nlmcli.engine.gradient.threads import ThreadPool
from nlmcli.engine.reading.batches import Batch
from nlmcli.models.base import Model, State
from nlmcli.nn.elementary import square_sum
from nlmcli.nn.kernel import kernel
from nlmcli.nn.params import Params
from nlmcli.nn.philox import Philox

MAX_SHARDS = 8
LARGE = 1024  # vocabulary size from which on the gradient of the output matrix is computed for all shards together
CHUNK = 1 << 14  # numbers whose squares are summed in single precision


def shards_of(batch_size: int, columns: int) -> list[slice]:
    """The columns of each shard, as equal as possible: one shard for so many columns, but 2, 4 or 8 of them, or one for each column."""
    n = min(batch_size, MAX_SHARDS, max(2, batch_size // columns))
    n = 1 << (n.bit_length() - 1)
    return [slice(s * batch_size // n, (s + 1) * batch_size // n) for s in range(n)]


class Shard:
    """One shard of a step: its inputs, and what its forward pass keeps for the backward pass."""

    def __init__(self, model: Model, batch: Batch, columns: slice, state: State, G: Params, rng: Any):
        self.model, self.state, self.G, self.rng = model, state, G, rng
        self.x, y = (np.ascontiguousarray(a[:, columns]) for a in (batch.x, batch.y))
        self.targets, self.loss = y.reshape(-1), 0.0
        self.words = model.embedded_ids(self.x, state)

    def step(self, P: Params, scale: float, summed: list[slice]) -> None:
        """The whole step, for a small vocabulary: the shard's own vector includes the gradient of the output matrix."""
        self.zero_grad(summed)
        self.loss, self.state = self.model.step(P, self.x, self.targets, self.state, scale, self.G, self.rng)

    def forward(self, P: Params, summed: list[slice]) -> None:
        """The forward pass of the encoder."""
        self.zero_grad(summed)
        h, self.state, self.cache = self.model.forward(P, self.x, self.state, self.rng)
        self.h = h.reshape(-1, h.shape[-1])

    def backward(self, dh: np.ndarray) -> None:
        """The backward pass of the encoder."""
        self.model.backward(dh.reshape(*self.x.shape, -1), self.cache, self.G)

    def zero_grad(self, summed: list[slice]) -> None:
        for part in summed:
            self.G.flat[part] = 0


class Team:
    """The thread pool of a run, the gradient vectors of the shards, and the head for a large vocabulary."""

    def __init__(self, model: Model, threads: int = 1, ranks: Ranks | None = None):
        self.model, self.threads, self.workers, self.ranks = model, threads, ThreadPool(threads), ranks or Ranks()
        self.gradients: list[Params] = []
        self.head = LargeHead(self.workers, self.ranks)
        self.summed_slices: dict[tuple[bool, bool], list[slice]] = {}
        self.touched: list[np.ndarray] | None = []  # rows of its table that may be nonzero; None: all of them

    def columns(self, batch_size: int) -> list[slice]:
        """The columns of each shard."""
        return shards_of(batch_size, self.model.shard_columns)

    def start(self, batch_size: int, dtype: Any = np.float32) -> list[State]:
        """The initial state of every shard."""
        return [self.model.start(columns.stop - columns.start, dtype) for columns in self.columns(batch_size)]

    def restart(self, states: list[State], columns: np.ndarray) -> None:
        """Reset the columns of the batch in this mask (B,) to the initial state."""
        for state, part in zip(states, self.columns(len(columns)), strict=True):
            if columns[part].any():
                initial = self.model.start(int(columns[part].sum()))
                for memory, start in zip(state, initial, strict=True):
                    memory[:, columns[part]] = start

    def gradient(
        self, P: Params, G: Params, batch: Batch, states: list[State], key: tuple[int, int] | None = None
    ) -> tuple[float, float, list[State]]:
        """The mean loss of a batch, |g|, and the states after it; G becomes dL/dθ.  key (seed, step) draws the dropout masks.

        G must be zero before the first step, and the same vector at every step: only its nonzero entries are cleared.
        """
        columns = self.columns(batch.x.shape[1])
        self.gradients[:1] = [G]
        self.gradients += [G.zeros_like() for _ in range(len(self.gradients), len(columns))]
        mine = self.ranks.share(len(columns))
        rngs = {s: Philox(*key, s) if key else None for s in mine}
        shards = [Shard(self.model, batch, columns[s], states[s], self.gradients[s], rngs[s]) for s in mine]
        scale = 1 / max(1, batch.targets)
        large, tied = self.model.V >= LARGE or bool(self.model.cutoffs), self.is_tied(G)
        sparse = large if tied else batch.x.size <= len(self.model.table(G))
        summed = self.summed(G, sparse, large)
        words = self.zero_grad(G, shards, sparse)
        if large:
            loss, squares = self.large_vocabulary_step(P, G, shards, batch, scale, summed)
        else:
            self.workers.run([partial(shard.step, P, scale, summed) for shard in shards])
            loss, squares = sum(self.ranks.all_of([shard.loss for shard in shards])), 0.0
        squares += self.sum_gradients(G, [shard.G for shard in shards], summed)
        if sparse:
            squares += self.sum_sparse_rows(G, words, tied)
        after = list(states)
        for s, shard in zip(mine, shards, strict=True):
            after[s] = shard.state
        return loss * scale, math.sqrt(squares), after

    def large_vocabulary_step(
        self, P: Params, G: Params, shards: list[Shard], batch: Batch, scale: float, summed: list[slice]
    ) -> tuple[float, float]:
        """Encoders per shard, the head for all shards together.  -> Σ nll, Σ g² of the head (without U if it is tied)"""
        self.workers.run([partial(shard.forward, P, summed) for shard in shards])
        targets = [batch.y[:, columns].reshape(-1) for columns in self.columns(batch.x.shape[1])]
        ends = np.cumsum([len(each) for each in targets])
        h = self.ranks.joined([shard.h for shard in shards], ends.tolist())
        loss, squares, dh = self.head.gradient(h, self.model, P, G, np.concatenate(targets), scale)
        split = np.split(dh, ends[:-1])
        parts = [split[s] for s in self.ranks.share(len(ends))]
        self.workers.run([partial(shard.backward, part) for shard, part in zip(shards, parts, strict=True)])
        return loss, squares

    def is_tied(self, G: Params) -> bool:
        """Whether E is also the output matrix. If so, a small head writes the whole gradient of E in every shard; a large one
        writes it before the encoders add the rows of their words, which are few in comparison."""
        return np.may_share_memory(G.E, self.model.head(G)[0])

    def summed(self, G: Params, sparse: bool, large: bool) -> list[slice]:
        """The parts of θ whose gradients are summed over the shards: all but a sparse table and a large output matrix."""
        if (sparse, large) not in self.summed_slices:
            table = self.model.table(G)
            excluded = {name for name, value in G.items() if sparse and np.may_share_memory(value, table)}
            if large:
                output = self.model.output_arrays(G)
                excluded |= {name for name, value in G.items() if any(np.may_share_memory(value, u) for u in output)}
            self.summed_slices[sparse, large] = G.slices(name for name in G.shapes if name not in excluded)
        return self.summed_slices[sparse, large]

    def zero_grad(self, G: Params, shards: list[Shard], sparse: bool) -> list[list[np.ndarray]]:
        """Zero the rows of a sparse table, which are accumulated but not summed over the shards.  -> the ids that each shard reads"""
        if sparse:
            for part in self.gradients if self.touched is None else ():
                self.model.table(part)[...] = 0
            for ids in self.touched or ():
                self.model.table(G)[ids] = 0
        words = self.ranks.all_of([shard.words for shard in shards]) if sparse else []
        self.touched = [ids for each in words for ids in each] if sparse else None
        return words

    def sum_gradients(self, G: Params, vectors: list[Params], summed: list[slice]) -> float:
        """G = the sum of the shards' vectors in order, the first of which is G.  -> Σ g²"""
        for part in summed if self.ranks.size > 1 else ():
            self.ranks.sum_in_order(G.flat[part], [each.flat[part] for each in vectors])
        return self.add_and_square(G, [] if self.ranks.size > 1 else vectors[1:], summed)

    def add_and_square(self, G: Params, others: list[Params], parts: list[slice]) -> float:
        """G += the other vectors, in order.  -> Σ g²: chunks in single precision, their sums in double"""
        squares = 0.0
        for part in parts:
            g, sums = G.flat[part], np.empty(-(-(part.stop - part.start) // CHUNK))
            for addend in [other.flat[part] for other in others] or [g[:0]]:
                self.workers.over(g.size, partial(add_part, g, addend, sums))
            squares += float(sums.sum())
        return squares

    def sum_sparse_rows(self, G: Params, words: list[list[np.ndarray]], tied: bool) -> float:
        """The same for a sparse table: only the rows that were read have a gradient, unless E is tied.  words: the ids of each shard"""
        tables = [self.model.table(each) for each in self.gradients[: len(words)]]
        self.exchange_rows(tables, words)
        table = tables[0]
        for other, ids_of_shard in zip(tables[1:], words[1:], strict=True):
            for ids in ids_of_shard:
                move_rows(table, other, ids.reshape(-1))
        if tied:
            return self.add_and_square(G, [], G.slices(name for name in ("C", "E") if name in G.shapes))
        seen = np.zeros(len(table), np.bool_)
        return sum(row_squares(table, ids.reshape(-1), seen) for ids in self.touched or ())

    def exchange_rows(self, tables: list[np.ndarray], words: list[list[np.ndarray]]) -> None:
        """Give every rank the rows of the other ranks' shards."""
        if self.ranks.size == 1:
            return
        ids = [np.unique(np.concatenate([each.reshape(-1) for each in of_shard])) for of_shard in words]
        mine = self.ranks.share(len(words))
        rows = self.ranks.joined([tables[s][ids[s]] for s in mine], np.cumsum([len(each) for each in ids]).tolist())
        for s, part in enumerate(np.split(rows, np.cumsum([len(each) for each in ids])[:-1])):
            if s not in mine:
                tables[s][ids[s]] = part

    def draw(self, P: Params, batch: Batch, states: list[State], key: tuple[int, int]) -> Batch:
        """The batch with targets sampled from the model's own predictions; padding stays.  key (seed, step): as in `gradient`."""
        y, columns = np.empty_like(batch.y), self.columns(batch.y.shape[1])
        mine = self.ranks.share(len(columns))
        self.workers.run([partial(draw_shard, self.model, P, batch, columns[s], states[s], (*key, s), y) for s in mine])
        for part, drawn in zip(columns, self.ranks.all_of([y[:, columns[s]] for s in mine]), strict=True):
            y[:, part] = drawn
        return replace(batch, y=y)


def draw_shard(model: Model, P: Params, batch: Batch, columns: slice, state: State, key: tuple[int, int, int], y: np.ndarray) -> None:
    """Fill a shard's columns of y.  Dropout is that of the shard's gradient; the targets come from a separate generator."""
    x, targets = np.ascontiguousarray(batch.x[:, columns]), batch.y[:, columns].reshape(-1)
    u = np.random.default_rng([*key, 1]).random(targets.size)
    y[:, columns] = model.draw(P, x, targets, state, Philox(*key), u).reshape(batch.y[:, columns].shape)


def add_part(g: np.ndarray, addend: np.ndarray, sums: np.ndarray, part: slice) -> None:
    add(g[part], addend[part], sums[part.start // CHUNK :])


@kernel
def add(g, addend, sums):
    """g += addend, which may be empty; sums: Σ g² of each chunk."""
    for k in range(0, g.size, CHUNK):
        a, b = g[k : k + CHUNK], addend[k : k + CHUNK]
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
def move_rows(target, source, ids):
    """target[ids] += source[ids];  source[ids] = 0, so an id that occurs twice adds nothing the second time."""
    for k in range(ids.size):
        a, b = target[ids[k]], source[ids[k]]
        for j in range(a.size):
            a[j] += b[j]
            b[j] = 0
