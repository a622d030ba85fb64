"""A short depthwise convolution over time: each channel has its own weights and never mixes with another."""

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_column_sums
from nlmcli.nn.pair import pair


def depthwise_convolution(x, K, b):
    """y_t = b + Σ_k K_k x_{t+k}: y_t reads its own step of x and the W-1 before it.  x (W-1+T,B,H), K (W,H), b (H,) -> y (T,B,H).

    x starts with the W-1 steps before the first, so that no later step is read (causal).
    """
    y = np.empty((len(x) - len(K) + 1, *x.shape[1:]), x.dtype)
    convolve(x, K, b, y)
    return y, (x, K)


def depthwise_convolution_backward(dy, cache):
    """dx_s = Σ_k K_k dy_{s-k};  dK_k = Σ_t dy_t x_{t+k};  db = Σ_t dy_t.  -> dx (W-1+T,B,H), dK (W,H), db (H,)."""
    x, K = cache
    dx, dK, db = np.zeros_like(x), np.zeros_like(K), np.zeros_like(K[0])
    convolve_backward(dy, x, K, dx, dK)
    add_column_sums(dy.reshape(-1, db.size), db)
    return dx, dK, db


@kernel
def convolve(x, K, b, y):
    for t in range(y.shape[0]):
        for m in range(y.shape[1]):
            out = y[t, m]
            for j in range(b.size):
                out[j] = b[j]
            for k in range(K.shape[0]):
                weight, source = K[k], x[t + k, m]
                for j in range(b.size):
                    out[j] += weight[j] * source[j]


@kernel
def convolve_backward(dy, x, K, dx, dK):
    for t in range(dy.shape[0]):
        for m in range(dy.shape[1]):
            up = dy[t, m]
            for k in range(K.shape[0]):
                weight, back = K[k], dx[t + k, m]
                for j in range(up.size):
                    back[j] += weight[j] * up[j]
                source, dweight = x[t + k, m], dK[k]
                for j in range(up.size):
                    dweight[j] += up[j] * source[j]


pair(
    depthwise_convolution,
    depthwise_convolution_backward,
    lambda rng: (rng.normal(size=(6, 2, 3)), rng.normal(size=(4, 3)), rng.normal(size=3)),
)
