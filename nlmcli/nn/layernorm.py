"""Layer normalization (Ba et al. 2016): scale each row to mean 0 and variance 1, then apply a gain and a bias per column.

x̂ = (x - mean x) / √(var x + ε);   y = x̂ g + b
"""

import numpy as np

from nlmcli.nn.elementary import dot, square_sum, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair

EPSILON = 1e-5  # avoids division by zero for a constant row


def layernorm(x, g, b):
    """y = x̂ g + b.  x (N,D), g, b (D,) -> y (N,D)."""
    y, x_hat, r = np.empty_like(x), np.empty_like(x), np.empty(len(x), x.dtype)
    normalize(x, g, b, y, x_hat, r)
    return y, (x_hat, r, g)


def layernorm_backward(dy, cache):
    """dx̂ = dy g;  dx = r (dx̂ - mean dx̂ - x̂ mean(dx̂ x̂)), r = 1/√(var x + ε);  dg = Σ dy x̂;  db = Σ dy.

    x̂ does not change when x is shifted or scaled: the components of dx̂ along (1, ..., 1) and along x̂ have no effect.
    """
    x_hat, r, g = cache
    dx, dg, db = np.zeros_like(x_hat), np.zeros_like(g), np.zeros_like(g)
    add_layernorm_gradients(dy, x_hat, r, g, dx, dg, db)
    return dx, dg, db


@kernel
def normalize(x, g, b, y, x_hat, r):
    """Row by row; r (N,) becomes 1/√(var x + ε)."""
    one, size, epsilon = x.dtype.type(1), x.dtype.type(x.shape[1]), x.dtype.type(EPSILON)
    for k in range(x.shape[0]):
        row, hat, out = x[k], x_hat[k], y[k]
        mean = total(row) / size
        for j in range(row.size):
            hat[j] = row[j] - mean
        scale = one / np.sqrt(square_sum(hat) / size + epsilon)
        for j in range(row.size):
            hat[j] *= scale
            out[j] = hat[j] * g[j] + b[j]
        r[k] = scale


@kernel
def affine(x_hat, g, b, y):
    """y = x̂ g + b, recomputed from x̂."""
    for k in range(x_hat.shape[0]):
        hat, out = x_hat[k], y[k]
        for j in range(out.size):
            out[j] = hat[j] * g[j] + b[j]


@kernel
def add_layernorm_gradients(dy, x_hat, r, g, dx, dg, db):
    """layernorm_backward, added to dx, dg and db."""
    size = x_hat.dtype.type(x_hat.shape[1])
    d = np.empty_like(g)
    for k in range(x_hat.shape[0]):
        up, hat, out, scale = dy[k], x_hat[k], dx[k], r[k]
        for j in range(d.size):
            d[j] = up[j] * g[j]
        mean, along = total(d) / size, dot(d, hat) / size
        for j in range(d.size):
            out[j] += scale * (d[j] - mean - hat[j] * along)
        for j in range(d.size):
            dg[j] += up[j] * hat[j]
        for j in range(d.size):
            db[j] += up[j]


def _example(rng):
    return rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=4)


pair(layernorm, layernorm_backward, _example)
