"""RMSNorm (Zhang & Sennrich 2019): each row is divided by its root mean square, then scaled by a gain per column."""

import numpy as np

from nlmcli.nn.elementary import dot, square_sum
from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair

EPSILON = 1e-5  # avoids division by zero


def rmsnorm(x, g):
    """y = g x / √(mean x² + ε), row by row.  x (N,D), g (D,) -> y (N,D)."""
    y, scale = np.empty_like(x), np.empty(len(x), x.dtype)
    normalize(x, g, x.dtype.type(EPSILON), y, scale)
    return y, (x, g, scale)


def rmsnorm_backward(dy, cache):
    """n = s x, s = 1 / √(mean x² + ε):  dn = g dy;  dx = s (dn - n mean(dn n));  dg = Σ_rows dy n.  -> dx (N,D), dg (D,)."""
    x, g, scale = cache
    dx, dg = np.empty_like(x), np.zeros_like(g)
    normalize_backward(dy, x, g, scale, dx, dg)
    return dx, dg


@kernel
def normalize(x, g, epsilon, y, scale):
    one, D = x.dtype.type(1), x.dtype.type(x.shape[1])
    for k in range(scale.size):
        row, out = x[k], y[k]
        s = one / np.sqrt(square_sum(row) / D + epsilon)
        for j in range(row.size):
            out[j] = row[j] * s * g[j]
        scale[k] = s


@kernel
def normalize_backward(dy, x, g, scale, dx, dg):
    D = x.dtype.type(x.shape[1])
    for k in range(scale.size):
        up, row, out, s = dy[k], x[k], dx[k], scale[k]
        for j in range(row.size):
            out[j] = up[j] * g[j]
        along = dot(out, row) * s * s / D  # mean(dn n) s
        for j in range(row.size):
            out[j] = (out[j] - row[j] * along) * s
        for j in range(row.size):
            dg[j] += up[j] * row[j] * s


pair(rmsnorm, rmsnorm_backward, lambda rng: (rng.normal(size=(4, 5)), rng.normal(size=5)))
