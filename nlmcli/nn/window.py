"""A tanh layer over the embeddings of n words side by side, with those embeddings beside what it makes of them.

x_k = [E[ids_k0]; ...; E[ids_k,n-1]];   out_k = [tanh(x_k W1 + b1); x_k]
"""

import numpy as np

from nlmcli.nn.cross_entropy import small_head
from nlmcli.nn.elementary import tanh
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_up
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair


def window(E, ids, W1, b1):
    """out = [tanh(x W1 + b1); x], x the embeddings of ids.  E (V,D), ids (N,n), W1 (n D,H), b1 (H,) -> out (N, H + n D)."""
    H = b1.size
    out = np.empty((len(ids), H + W1.shape[0]), E.dtype)
    forward(E, ids, W1, b1, out[:, :H], out[:, H:])
    return out, (E.shape, ids, W1, out)


def window_backward(dout, cache):
    """da = dh (1 - h²);  dW1 = xᵀ da;  db1 = Σ_n da_n;  dx gets da W1ᵀ too, and dE the sum of it for each word.

    dout (N, H + n D), or (N, H) where x itself was not read.  -> dE (V,D), dW1 (n D,H), db1 (H,)
    """
    shape, _, W1, out = cache
    dE, dW1, db1 = np.zeros(shape, out.dtype), np.zeros_like(W1), np.zeros(W1.shape[1], out.dtype)
    add_gradients(dout, cache, dE, dW1, db1)
    return dE, dW1, db1


def add_gradients(dout, cache, dE, dW1, db1):
    """window_backward, added to what dE, dW1 and db1 are."""
    _, ids, W1, out = cache
    N, H = len(ids), W1.shape[1]
    da = np.empty((N, H), out.dtype)
    dx = np.zeros((N, W1.shape[0]), out.dtype) if dout.shape[1] == H else dout[:, H:].copy()
    backward(dout[:, :H], out[:, :H], out[:, H:], ids, W1, da, dx, dE, dW1, db1)


@kernel
def whole_step(E, ids, W1, b1, U, b2, targets, scale, dE, dW1, db1, dU, db2):
    """Forward, head and backward; the head reads as many columns of out as U has rows.  -> Σ nll"""
    N, H, read = ids.shape[0], b1.size, U.shape[0]
    out = np.empty((N, H + W1.shape[0]), E.dtype)
    h, x = out[:, :H], out[:, H:]
    forward(E, ids, W1, b1, h, x)
    loss, dread = small_head(out[:, :read], U, b2, targets, scale, dU, db2)
    da, dx = np.empty((N, H), E.dtype), np.zeros((N, W1.shape[0]), E.dtype)
    dx[:, : read - H] = dread[:, H:]
    backward(dread[:, :H], h, x, ids, W1, da, dx, dE, dW1, db1)
    return loss


@kernel
def forward(E, ids, W1, b1, h, x):
    D = E.shape[1]
    for k in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            e = E[ids[k, j]]
            for i in range(D):
                x[k, j * D + i] = e[i]
    multiply(x, W1, h, bias=b1)
    for k in range(h.shape[0]):
        row = h[k]
        for j in range(row.size):
            row[j] = tanh(row[j])


@kernel
def backward(dh, h, x, ids, W1, da, dx, dE, dW1, db1):
    one, D = W1.dtype.type(1), dE.shape[1]
    for k in range(h.shape[0]):
        d, up, y = da[k], dh[k], h[k]
        for j in range(d.size):
            d[j] = up[j] * (one - y[j] * y[j])  # tanh' = 1 - tanh²
    multiply(da, W1.T, dx, accumulate=True)
    multiply(x.T, da, dW1, accumulate=True)
    add_up(da, db1)
    for k in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            row = dE[ids[k, j]]
            for i in range(D):
                row[i] += dx[k, j * D + i]


def _example(rng):
    return rng.normal(size=(5, 2)), np.array([[1, 4, 1], [0, 1, 2], [3, 3, 0], [4, 0, 2]]), rng.normal(size=(6, 3)), rng.normal(size=3)


pair(window, window_backward, _example)
