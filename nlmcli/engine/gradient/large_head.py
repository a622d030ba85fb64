"""The head over a large vocabulary: its words are cut into ranges, and threads share the ranges out.

The output matrix's gradient is then made once, by all rows of a batch together, where shards would make one each and add
them up; and each block of words is read from memory twice, however many rows there are.
"""

from functools import partial

import numpy as np

from nlmcli.engine.gradient.threads import Threads
from nlmcli.nn.cross_entropy import WIDTH, blocks, words_backward, words_between, words_forward

RANGES = 4  # whatever the number of threads


class LargeHead:
    """Loss and gradients of z = h U + b2, as many rows at a time as there is room for logits."""

    def __init__(self, vocabulary: int, workers: Threads):
        self.V, self.workers = vocabulary, workers
        self.blocks = -(-vocabulary // WIDTH)
        self.ranges = [(self.blocks * r // RANGES, self.blocks * (r + 1) // RANGES) for r in range(RANGES)]
        self.room = np.empty(0)

    def gradient(self, h, U, b2, targets, scale, dU, db2) -> tuple[float, float, np.ndarray]:
        """Σ nll over the targets, and dh for L = scale · Σ nll; dU and db2 become its gradients, whatever they were.

        h (N,H), U (H,V), b2 (V,), targets (N,) -> the sum of nll, Σ g² of dU and db2 (0 where U is a transposed view), dh (N,H)
        """
        dh, nll, squares = np.empty_like(h), np.empty(len(h), h.dtype), np.empty(self.blocks)
        for rows in blocks(len(h), self.V):
            given = (h[rows], U, b2, targets[rows], h.dtype.type(scale), dU, db2)
            dh[rows] = self.some_rows(*given, squares, nll[rows], rows.start > 0)
        return float(nll.sum(dtype=np.float64)), float(squares.sum()), dh

    def some_rows(self, h, U, b2, targets, scale, dU, db2, squares, nll, accumulate) -> np.ndarray:
        """nll and dh of rows that there is room for. A range of words has a part of dh of its own; they add up in one order."""
        n = len(h)
        size = self.blocks * n * WIDTH
        if self.room.size < size or self.room.dtype != h.dtype:
            self.room = np.empty(size, h.dtype)
        z, at_target = self.room[:size].reshape(self.blocks, n, WIDTH), np.empty(n, h.dtype)
        top, tot = np.empty((2, self.blocks, n), h.dtype)
        parts = np.empty((RANGES, *h.shape), h.dtype)
        self.workers.run([partial(words_forward, h, U, b2, targets, z, top, tot, at_target, *some) for some in self.ranges])
        words_between(top, tot, at_target, targets, scale, nll)
        given = h, U, targets, scale, z, top
        made = dU, db2, squares
        jobs = zip(parts, self.ranges, strict=True)
        self.workers.run([partial(words_backward, *given, part, *made, *some, accumulate) for part, some in jobs])
        return parts.sum(axis=0)
