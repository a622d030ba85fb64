"""Inverted dropout (Srivastava et al. 2014)."""

import numpy as np

from nlmcli.nn.pair import pair
from nlmcli.nn.philox import Philox, draw_mask


def dropout(x, p, rng):
    """x' = 0 with probability p, else x / (1 - p), so that E[x'] = x and evaluation needs no correction.

    x of any shape, 0 <= p < 1, rng a Philox, or None in evaluation: x' = x.
    """
    keep = dropout_mask(x.shape, p, rng, x.dtype)
    return (x, None) if keep is None else (x * keep, keep)


def dropout_backward(dy, keep):
    """dx = 0 where x was dropped, else dy / (1 - p)."""
    return (dy if keep is None else dy * keep,)


def dropout_mask(shape, p, rng, dtype):
    """The mask that dropout multiplies by, of 0 and 1 / (1 - p); None if nothing is dropped."""
    if rng is None or p == 0:
        return None
    keep = np.empty(shape, dtype)
    draw_mask(rng.next_key(), np.uint64(round(p * 2**32)), keep.dtype.type(1 / (1 - p)), keep.reshape(-1))
    return keep


def dropout_mask_or_empty(shape, p, rng, dtype):
    """dropout_mask for kernels, whose arguments are always arrays: one without columns if nothing is dropped."""
    keep = dropout_mask(shape, p, rng, dtype)
    return np.empty((*shape[:-1], 0), dtype) if keep is None else keep


class RepeatingPhilox(Philox):
    """Draws the same mask every time, so that both sides of a finite difference drop the same entries."""

    def next_key(self):
        return Philox(self.seed).next_key()


pair(dropout, dropout_backward, lambda rng: (rng.normal(size=(4, 5)), 0.4, RepeatingPhilox(0)))
