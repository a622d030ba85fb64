"""Inverted dropout (Srivastava et al. 2014), of units, of whole words and of weights."""

import numpy as np

from nlmcli.nn.pair import pair
from nlmcli.nn.philox import Philox, draw_mask


def dropout(x, p, rng, variational=False):
    """x' = 0 with probability p, else x / (1 - p), so that E[x'] = x and evaluation needs no correction.

    x of any shape, 0 <= p < 1, rng a Philox, or None in evaluation: x' = x.
    variational: the same mask at every time step, the first axis (Gal & Ghahramani 2016).
    """
    keep = dropout_mask((1, *x.shape[1:]) if variational else x.shape, p, rng, x.dtype)
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


def word_dropout(e, x, V, p, rng):
    """Dropout of whole words: all embeddings of a word, or none.  e (*x.shape,D), x ids below V  (Gal & Ghahramani 2016)"""
    keep = dropout_mask((V,), p, rng, e.dtype)
    if keep is None:
        return e, None
    keep = keep[x][..., None]
    return e * keep, keep


def word_dropout_backward(dy, keep):
    """de = 0 where the word was dropped, else dy / (1 - p)."""
    return dropout_backward(dy, keep)


class RepeatingPhilox(Philox):
    """Draws the same mask every time, so that both sides of a finite difference drop the same entries."""

    def next_key(self):
        return Philox(self.seed).next_key()


pair(dropout, dropout_backward, lambda rng: (rng.normal(size=(4, 2, 5)), 0.4, RepeatingPhilox(0), False))
pair(
    word_dropout,
    word_dropout_backward,
    lambda rng: (rng.normal(size=(2, 3, 4)), np.array([[0, 4, 1], [2, 2, 0]]), 5, 0.4, RepeatingPhilox(0)),
)
