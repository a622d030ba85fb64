"""Two texts as one vector (Mou et al. 2016; Conneau et al. 2017).

c = [u; v; |u - v|; u v]          entry by entry
"""

import numpy as np

from nlmcli.nn.pair import pair


def compare(u, v):
    """c = [u; v; |u - v|; u v].  u, v (B,F) -> c (B,4F)."""
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1), (u, v)


def compare_backward(dc, cache):
    """du = dc₁ + sgn(u - v) dc₃ + v dc₄;  dv = dc₂ - sgn(u - v) dc₃ + u dc₄.  dc (B,4F) -> du, dv (B,F)."""
    u, v = cache
    du, dv, dabs, dproduct = np.split(dc, 4, axis=1)
    dabs = np.sign(u - v) * dabs
    return du + dabs + v * dproduct, dv - dabs + u * dproduct


pair(compare, compare_backward, lambda rng: (rng.normal(size=(3, 4)), rng.normal(size=(3, 4))))
