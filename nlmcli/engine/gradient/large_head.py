"""The output head for a large vocabulary: the vocabulary is split into ranges, which threads compute in parallel.

The gradient of the output matrix is computed once for all rows of a batch, not per shard and then summed; and each block of
words is read from memory twice, whatever the number of rows. The clusters of an adaptive softmax follow one another.
"""

from functools import partial
from typing import Any

import numpy as np

from nlmcli.engine.gradient.threads import ThreadPool
from nlmcli.nn.adaptive_softmax import split, tail_backward
from nlmcli.nn.cross_entropy import WIDTH, blocks, words_backward, words_between, words_forward
from nlmcli.nn.elementary import square_sum
from nlmcli.nn.params import Params

RANGES = 4  # whatever the number of threads


class LargeHead:
    """Loss and gradients of the output layer, by as many rows as fit their logits in memory."""

    def __init__(self, workers: ThreadPool):
        self.workers, self.buffer = workers, np.empty(0)

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
        return float(nll.sum(dtype=np.float64)), float(squares.sum()), dh

    def rows_gradient(self, h, U, b2, targets, scale, dU, db2, squares, nll, accumulate) -> np.ndarray:
        """The same for rows whose logits fit in memory; fills nll and squares.  -> dh, the sum over the ranges in a fixed order"""
        n, n_blocks = len(h), len(squares)
        size = n_blocks * n * WIDTH
        ranges = [(n_blocks * r // RANGES, n_blocks * (r + 1) // RANGES) for r in range(RANGES)]
        if self.buffer.size < size or self.buffer.dtype != h.dtype:
            self.buffer = np.empty(size, h.dtype)
        z, at_target = self.buffer[:size].reshape(n_blocks, n, WIDTH), np.empty(n, h.dtype)
        top, tot = np.empty((2, n_blocks, n), h.dtype)
        partial_dh = np.empty((RANGES, *h.shape), h.dtype)
        self.workers.run([partial(words_forward, h, U, b2, targets, z, top, tot, at_target, *ends) for ends in ranges])
        words_between(top, tot, at_target, targets, scale, nll)
        inputs = h, U, targets, scale, z, top
        outputs = dU, db2, squares
        jobs = zip(partial_dh, ranges, strict=True)
        self.workers.run([partial(words_backward, *inputs, part, *outputs, *ends, accumulate) for part, ends in jobs])
        return partial_dh.sum(axis=0)
