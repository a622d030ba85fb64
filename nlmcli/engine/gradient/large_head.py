"""The output head for a large vocabulary: the vocabulary is split into ranges, which threads compute in parallel.

The gradient of the output matrix is computed once for all rows of a batch, not per shard and then summed; and each block of
words is read from memory twice, whatever the number of rows. The clusters of an adaptive softmax follow one another.
"""

from functools import partial
from typing import Any

import numpy as np

from nlmcli.engine.gradient.ranks import Ranks
from nlmcli.engine.gradient.threads import ThreadPool
from nlmcli.nn.adaptive_softmax import split, tail_backward
from nlmcli.nn.cross_entropy import WIDTH, blocks, words_backward, words_between, words_forward
from nlmcli.nn.elementary import square_sum
from nlmcli.nn.params import Params

RANGES = 4  # whatever the number of threads


class LargeHead:
    """Loss and gradients of the output layer, by as many rows as fit their logits in memory."""

    def __init__(self, workers: ThreadPool, ranks: Ranks):
        self.workers, self.ranks, self.buffer = workers, ranks, np.empty(0)

    def gradient(
        self, h: np.ndarray, model: Any, P: Params, G: Params, targets: np.ndarray, scale: float
    ) -> tuple[float, float, np.ndarray]:
        """Σ nll over the targets, and dh for L = scale · Σ nll; the gradients of the output layer in G are overwritten.

        h (N,H), targets (N,) -> the sum of nll, Σ g² of the output layer (without its transposed views), dh (N,H)
        """
        columns, cluster = split(targets, model.cutoffs)
        (U, b2), (dU, db2) = model.head(P), model.head(G)
        loss, squares, dh = self.part_gradient(h, U, b2, columns, scale, dU, db2)
        for i, (tail, dtail) in enumerate(zip(model.tails(P), model.tails(G), strict=True)):
            rows = np.flatnonzero(cluster == i + 1)
            part, own = h[rows], targets[rows] - model.cutoffs[i]
            more, squared, dread = self.part_gradient(tail.read(part), tail.U, tail.b, own, scale, dtail.U, dtail.b)
            if dtail.R is not None:
                dtail.R[...] = 0
            dh[rows] += tail_backward(dread, part, tail, dtail)
            loss, squares = loss + more, squares + squared + (0.0 if dtail.R is None else float(square_sum(dtail.R.reshape(-1))))
        return loss, squares, dh

    def part_gradient(self, h, U, b2, targets, scale, dU, db2) -> tuple[float, float, np.ndarray]:
        """The same of z = h U + b2; dU and db2 are overwritten.  U (H,V), b2 (V,) or (0,)"""
        n_blocks = -(-U.shape[1] // WIDTH)
        dh, nll, squares = np.empty_like(h), np.empty(len(h), h.dtype), np.zeros(n_blocks)
        if not len(h):
            dU[...] = db2[...] = 0
        for rows in blocks(len(h), U.shape[1]):
            inputs = (h[rows], U, b2, targets[rows], h.dtype.type(scale), dU, db2)
            dh[rows] = self.rows_gradient(*inputs, squares, nll[rows], rows.start > 0)
        self.exchange(dU, db2, squares)
        return float(nll.sum(dtype=np.float64)), float(squares.sum()), dh

    def rows_gradient(self, h, U, b2, targets, scale, dU, db2, squares, nll, accumulate) -> np.ndarray:
        """The same for rows whose logits fit in memory; fills nll and squares.  -> dh, the sum over the ranges in a fixed order"""
        n, n_blocks = len(h), len(squares)
        size = n_blocks * n * WIDTH
        ranges, mine = ranges_of(n_blocks), self.ranks.share(RANGES)
        if self.buffer.size < size or self.buffer.dtype != h.dtype:
            self.buffer = np.empty(size, h.dtype)
        z, at_target = self.buffer[:size].reshape(n_blocks, n, WIDTH), np.zeros(n, h.dtype)
        top, tot = np.empty((2, n_blocks, n), h.dtype)
        partial_dh = np.empty((RANGES, *h.shape), h.dtype)
        self.workers.run([partial(words_forward, h, U, b2, targets, z, top, tot, at_target, *ranges[r]) for r in mine])
        edges = self.ranks.edges([last for _, last in ranges])
        self.ranks.fill(top, edges)
        self.ranks.fill(tot, edges)
        self.ranks.add_disjoint(at_target)
        words_between(top, tot, at_target, targets, scale, nll)
        inputs = h, U, targets, scale, z, top
        outputs = dU, db2, squares
        self.workers.run([partial(words_backward, *inputs, partial_dh[r], *outputs, *ranges[r], accumulate) for r in mine])
        self.ranks.fill(partial_dh, self.ranks.edges(range(1, RANGES + 1)))
        return partial_dh.sum(axis=0)

    def exchange(self, dU: np.ndarray, db2: np.ndarray, squares: np.ndarray) -> None:
        """Give every rank the gradients of the other ranks' words."""
        if self.ranks.size == 1:
            return
        blocks_of = self.ranks.edges([last for _, last in ranges_of(len(squares))])
        words = [min(block * WIDTH, dU.shape[1]) for block in blocks_of]
        rows = np.ascontiguousarray(dU.T)
        self.ranks.fill(rows, words)
        self.ranks.fill(squares, blocks_of)
        dU.T[...] = rows
        if db2.size:
            self.ranks.fill(db2, words)


def ranges_of(n_blocks: int) -> list[tuple[int, int]]:
    """The first block of each range of the vocabulary, and the one after its last."""
    return [(n_blocks * r // RANGES, n_blocks * (r + 1) // RANGES) for r in range(RANGES)]
