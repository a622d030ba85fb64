"""A tanh layer over the embeddings of n words side by side, with those embeddings beside what it makes of them.

x_k = [E[ids_k0]; ...; E[ids_k,n-1]];   out_k = [tanh(x_k W1 + b1); x_k]
"""

import numpy as np

from nlmcli.nn.cross_entropy import small_head
from nlmcli.nn.elementary import tanh
from nlmcli.nn.embedding import add_rows
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_up
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair


def window(E, ids, W1, b1):
    """out = [tanh(x W1 + b1); x], x the embeddings of ids.  E (V,D), ids (N,n), W1 (n D,H), b1 (H,) -> out (N, H + n D)."""
    out = np.empty((len(ids), b1.size + W1.shape[0]), E.dtype)
    forward(E, ids, W1, b1, out)
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
    backward(np.ascontiguousarray(dout), out, ids, W1, dE, dW1, db1)


@kernel
def whole_step(E, ids, W1, b1, U, b2, targets, scale, dE, dW1, db1, dU, db2):
    """Forward, head and backward; the head reads as many columns of out as U has rows.  -> Σ nll"""
    out = np.empty((ids.shape[0], b1.size + W1.shape[0]), E.dtype)
    forward(E, ids, W1, b1, out)
    loss, dread = small_head(out[:, : U.shape[0]], U, b2, targets, scale, dU, db2)
    backward(dread, out, ids, W1, dE, dW1, db1)
    return loss


@kernel
def forward(E, ids, W1, b1, out):
    """Rows are taken from whole arrays and then cut, since the compiler knows those to be contiguous."""
    D, H = E.shape[1], b1.size
    for k in range(ids.shape[0]):
        x = out[k][H:]
        for j in range(ids.shape[1]):
            e, place = E[ids[k, j]], x[j * D : (j + 1) * D]
            for i in range(D):
                place[i] = e[i]
    multiply(out[:, H:], W1, out[:, :H], bias=b1)
    for k in range(ids.shape[0]):
        h = out[k][:H]
        for j in range(H):
            h[j] = tanh(h[j])


@kernel
def backward(dout, out, ids, W1, dE, dW1, db1):
    one, D, H = W1.dtype.type(1), dE.shape[1], W1.shape[1]
    da, dx = np.empty((ids.shape[0], H), W1.dtype), np.zeros((ids.shape[0], W1.shape[0]), W1.dtype)
    for k in range(ids.shape[0]):
        d, up, h = da[k], dout[k], out[k]
        for j in range(H):
            d[j] = up[j] * (one - h[j] * h[j])  # tanh' = 1 - tanh²
        dx[k, : dout.shape[1] - H] = dout[k, H:]
    multiply(da, W1.T, dx, accumulate=True)
    multiply(out[:, H:].T, da, dW1, accumulate=True)
    add_up(da, db1)
    add_rows(dE, ids.reshape(ids.size), dx.reshape(ids.size, D))


def _example(rng):
    return rng.normal(size=(5, 2)), np.array([[1, 4, 1], [0, 1, 2], [3, 3, 0], [4, 0, 2]]), rng.normal(size=(6, 3)), rng.normal(size=3)


pair(window, window_backward, _example)
