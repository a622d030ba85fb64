"""A text as one vector: the mean of its steps.

x = 1/n Σ_{t<n} h_t          n the number of steps of the text, without padding
"""

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair


def mean_pool(h, lengths):
    """x = 1/n Σ_{t<n} h_t.  h (T,B,F), lengths (B,), each at least 1 -> x (B,F)."""
    x = np.zeros(h.shape[1:], h.dtype)
    add_means(h, lengths, x)
    return x, (len(h), lengths)


def mean_pool_backward(dx, cache):
    """dh_t = dx / n for t < n, 0 for padding.  dx (B,F) -> dh (T,B,F)."""
    T, lengths = cache
    dh = np.zeros((T, *dx.shape), dx.dtype)
    spread(dx, lengths, dh)
    return (dh,)


@kernel
def add_means(h, lengths, x):
    for b in range(h.shape[1]):
        total, share = x[b], x.dtype.type(1) / x.dtype.type(lengths[b])
        for t in range(lengths[b]):
            row = h[t, b]
            for j in range(row.size):
                total[j] += row[j]
        for j in range(total.size):
            total[j] *= share


@kernel
def spread(dx, lengths, dh):
    for b in range(dh.shape[1]):
        row, share = dx[b], dx.dtype.type(1) / dx.dtype.type(lengths[b])
        for t in range(lengths[b]):
            target = dh[t, b]
            for j in range(row.size):
                target[j] = share * row[j]


pair(mean_pool, mean_pool_backward, lambda rng: (rng.normal(size=(4, 3, 2)), np.array([4, 2, 1])))
