"""The output head for a large vocabulary: the vocabulary is split into ranges, which threads compute in parallel.

The gradient of the output matrix is computed once for all rows of a batch, not per shard and then summed; and each block of
words is read from memory twice, whatever the number of rows.
"""

from functools import partial

import numpy as np

from nlmcli.engine.gradient.threads import ThreadPool
from nlmcli.nn.cross_entropy import WIDTH, blocks, words_backward, words_between, words_forward

RANGES = 4  # whatever the number of threads


class LargeHead:
    """Loss and gradients of z = h U + b2, by as many rows as fit their logits in memory."""

    def __init__(self, vocabulary: int, workers: ThreadPool):
        self.V, self.workers = vocabulary, workers
        self.blocks = -(-vocabulary // WIDTH)
        self.ranges = [(self.blocks * r // RANGES, self.blocks * (r + 1) // RANGES) for r in range(RANGES)]
        self.buffer = np.empty(0)

    def gradient(self, h, U, b2, targets, scale, dU, db2) -> tuple[float, float, np.ndarray]:
        """Σ nll over the targets, and dh for L = scale · Σ nll; dU and db2 are overwritten with its gradients.

        h (N,H), U (H,V), b2 (V,), targets (N,) -> the sum of nll, Σ g² of dU and db2 (of db2 alone if U is a transposed view), dh (N,H)
        """
        dh, nll, squares = np.empty_like(h), np.empty(len(h), h.dtype), np.empty(self.blocks)
        for rows in blocks(len(h), self.V):
            inputs = (h[rows], U, b2, targets[rows], h.dtype.type(scale), dU, db2)
            dh[rows] = self.rows_gradient(*inputs, squares, nll[rows], rows.start > 0)
        return float(nll.sum(dtype=np.float64)), float(squares.sum()), dh

    def rows_gradient(self, h, U, b2, targets, scale, dU, db2, squares, nll, accumulate) -> np.ndarray:
        """The same for rows whose logits fit in memory; fills nll and squares.  -> dh, the sum over the ranges in a fixed order"""
        n = len(h)
        size = self.blocks * n * WIDTH
        if self.buffer.size < size or self.buffer.dtype != h.dtype:
            self.buffer = np.empty(size, h.dtype)
        z, at_target = self.buffer[:size].reshape(self.blocks, n, WIDTH), np.empty(n, h.dtype)
        top, tot = np.empty((2, self.blocks, n), h.dtype)
        partial_dh = np.empty((RANGES, *h.shape), h.dtype)
        self.workers.run([partial(words_forward, h, U, b2, targets, z, top, tot, at_target, *ends) for ends in self.ranges])
        words_between(top, tot, at_target, targets, scale, nll)
        inputs = h, U, targets, scale, z, top
        outputs = dU, db2, squares
        jobs = zip(partial_dh, self.ranges, strict=True)
        self.workers.run([partial(words_backward, *inputs, part, *outputs, *ends, accumulate) for part, ends in jobs])
        return partial_dh.sum(axis=0)
