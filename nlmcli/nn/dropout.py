"""Dropout (Srivastava et al. 2014), in its inverted form."""

import numpy as np

from nlmcli.nn.pair import pair


def dropout(x, p, rng):
    """x' = 0 with probability p, else x / (1 - p), so that E[x'] = x and evaluation needs no correction.

    x of any shape, 0 <= p < 1, rng a numpy Generator; None is evaluation: x' = x.
    """
    if rng is None or p == 0:
        return x, None
    keep = draw(x.shape, p, rng, x.dtype)
    return x * keep, keep


def draw(shape, p, rng, dtype):
    """What numbers of this shape are multiplied by: 0 with probability p, else 1 / (1 - p).  Without columns where nothing is dropped."""
    if rng is None or p == 0:
        return np.empty((*shape[:-1], 0), dtype)
    return (rng.random(shape, np.float32) >= p) * np.dtype(dtype).type(1 / (1 - p))


def dropout_backward(dy, keep):
    """dx = 0 where x was dropped, else dy / (1 - p)."""
    return (dy if keep is None else dy * keep,)


class Again:
    """A generator that gives the same numbers each time, so that both sides of a difference drop the same entries."""

    def random(self, shape, dtype):
        return np.random.default_rng(0).random(shape, dtype)


pair(dropout, dropout_backward, lambda rng: (rng.normal(size=(4, 5)), 0.4, Again()))
