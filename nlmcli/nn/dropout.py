"""Dropout (Srivastava et al. 2014), in its inverted form."""

import numpy as np

from nlmcli.nn.pair import pair
from nlmcli.nn.philox import Philox, draw_mask


def dropout(x, p, rng):
    """x' = 0 with probability p, else x / (1 - p), so that E[x'] = x and evaluation needs no correction.

    x of any shape, 0 <= p < 1, rng a Philox; None is evaluation: x' = x.
    """
    keep = kept(x.shape, p, rng, x.dtype)
    return (x, None) if keep is None else (x * keep, keep)


def dropout_backward(dy, keep):
    """dx = 0 where x was dropped, else dy / (1 - p)."""
    return (dy if keep is None else dy * keep,)


def kept(shape, p, rng, dtype):
    """What dropout multiplies by, 0 or 1 / (1 - p); None where nothing is dropped."""
    if rng is None or p == 0:
        return None
    keep = np.empty(shape, dtype)
    draw_mask(rng.next_key(), np.uint64(round(p * 2**32)), keep.dtype.type(1 / (1 - p)), keep.reshape(-1))
    return keep


def kept_or_empty(shape, p, rng, dtype):
    """The same for kernels, whose arguments are always arrays: one without columns where nothing is dropped."""
    keep = kept(shape, p, rng, dtype)
    return np.empty((*shape[:-1], 0), dtype) if keep is None else keep


class Again(Philox):
    """Draws the same each time, so that both sides of a difference drop the same entries."""

    def next_key(self):
        return Philox(self.seed).next_key()


pair(dropout, dropout_backward, lambda rng: (rng.normal(size=(4, 5)), 0.4, Again(0)))
