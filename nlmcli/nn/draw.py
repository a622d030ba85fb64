"""Draws from a distribution that is given by weights."""

import numpy as np

from nlmcli.nn.elementary import exp, largest, total
from nlmcli.nn.kernel import kernel

BELOW_ONE = 1 - 2.0**-53
STRETCH = 256  # weights that are summed in single precision


@kernel
def draw(weights, u):
    """The first i at which w_0 + ... + w_i exceeds u Σ w.  weights (V,) >= 0, not all 0; u in [0, 1)"""
    return draw_within(weights, u)[0]


@kernel
def draw_within(weights, u):
    """The same i, and where in its weight u lies, a number in [0, 1) that is as random as u and from which one may draw again."""
    sums = np.empty((weights.size + STRETCH - 1) // STRETCH, np.float64)
    for k in range(sums.size):
        sums[k] = total(weights[k * STRETCH : (k + 1) * STRETCH])
    rest, at = u * sums.sum(), 0
    while at < sums.size - 1 and sums[at] <= rest:
        rest -= sums[at]
        at += 1
    stretch, found, within = weights[at * STRETCH : (at + 1) * STRETCH], 0, 0.0
    for i in range(stretch.size):
        if stretch[i] > 0:  # rounding never makes one without weight the answer
            found, within = i, rest / stretch[i]
            rest -= stretch[i]
            if rest < 0:
                break
    return at * STRETCH + found, min(max(within, 0.0), BELOW_ONE)


@kernel
def draw_each(z, temperature, u, drawn):
    """drawn[k] ~ softmax(z[k] / temperature), by u[k].  z (N,V) is overwritten; each row has a finite maximum"""
    for k in range(u.size):
        row = z[k]
        top = largest(row)
        for v in range(row.size):
            row[v] = exp(z.dtype.type((row[v] - top) / temperature))
        drawn[k] = draw(row, u[k])
