"""A tanh layer over the concatenated embeddings of n words; the output is the hidden layer followed by those embeddings.

x_k = [E[ids_k0]; ...; E[ids_k,n-1]];   out_k = [tanh(x_k W1 + b1); x_k]
"""

import numpy as np

from nlmcli.nn.cross_entropy import add_output_gradients, softmax_nll, sum_in_double
from nlmcli.nn.elementary import tanh
from nlmcli.nn.embedding import gather_add, scatter_add_rows
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_column_sums
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair


def window(E, ids, W1, b1):
    """out = [tanh(x W1 + b1); x], x the embeddings of ids.  E (V,D), ids (N,n), W1 (n D,H), b1 (H,) -> out (N, H + n D)."""
    out = np.empty((len(ids), b1.size + W1.shape[0]), E.dtype)
    forward(E, ids, W1, b1, out)
    return out, (E.shape, ids, W1, out)


def window_backward(dout, cache):
    """da = dh (1 - h²);  dW1 = xᵀ da;  db1 = Σ_n da_n;  dx also gets da W1ᵀ, and dE sums dx over the occurrences of each word.

    dout (N, H + n D), or (N, H) if x itself is not part of the output.  -> dE (V,D), dW1 (n D,H), db1 (H,)
    """
    shape, _, W1, out = cache
    dE, dW1, db1 = np.zeros(shape, out.dtype), np.zeros_like(W1), np.zeros(W1.shape[1], out.dtype)
    add_gradients(dout, cache, dE, dW1, db1)
    return dE, dW1, db1


def add_gradients(dout, cache, dE, dW1, db1):
    """window_backward, added to dE, dW1 and db1."""
    _, ids, W1, out = cache
    backward(np.ascontiguousarray(dout), out, ids, W1, dE, dW1, db1)


def from_tables(E, ids, W, b):
    """x W + b without x: Σ_j T_j[ids_kj] + b, where table T_j = E W_j has what each word adds at position j, W_j the j-th D rows of W.

    E (V,D), ids (N,n), W (n D,M), b (M,) -> (N,M).  Less work than the product if V < N.
    """
    out = np.empty((len(ids), b.size), E.dtype)
    sum_from_tables(E, ids, W, b, out)
    return out, (E, ids, W)


def from_tables_backward(dout, cache):
    """dT_j[v] = Σ of the rows of dout whose word j is v;  dW_j = Eᵀ dT_j;  dE = Σ_j dT_j W_jᵀ;  db = Σ_n dout_n."""
    E, ids, W = cache
    dE, dW = np.zeros_like(E), np.zeros_like(W)
    add_table_gradients(dout, E, ids, W, dE, dW)
    return dE, dW, dout.sum(0)


@kernel
def sum_from_tables(E, ids, W, b, out):
    """out = from_tables(E, ids, W, b); a W without rows adds nothing."""
    D, table = E.shape[1], np.empty((E.shape[0], b.size), E.dtype)
    out[:] = b
    for j in range(W.shape[0] // D):
        multiply(E, W[j * D : (j + 1) * D], table)
        gather_add(table, ids[:, j], out)


@kernel
def add_table_gradients(dout, E, ids, W, dE, dW):
    """Add the gradients of E and W to dE and dW."""
    D, table = E.shape[1], np.empty((E.shape[0], W.shape[1]), E.dtype)
    for j in range(W.shape[0] // D):
        table[:] = 0
        scatter_add_rows(table, ids[:, j], dout)
        multiply(E.T, table, dW[j * D : (j + 1) * D], accumulate=True)
        multiply(table, W[j * D : (j + 1) * D].T, dE, accumulate=True)


@kernel
def fused_kernel(E, ids, W1, b1, U, b2, targets, scale, dE, dW1, db1, dU, db2):
    """Forward, head and backward, with tables.  The rows of U after the first H multiply x itself.  -> Σ nll"""
    one, (N, H) = E.dtype.type(1), (ids.shape[0], b1.size)
    h, z, nll, da = np.empty((N, H), E.dtype), np.empty((N, b2.size), E.dtype), np.empty(N, E.dtype), np.empty((N, H), E.dtype)
    sum_from_tables(E, ids, W1, b1, h)
    for k in range(N):
        row = h[k]
        for j in range(H):
            row[j] = tanh(row[j])
    sum_from_tables(E, ids, U[H:], b2, z)
    multiply(h, U[:H], z, accumulate=True)
    softmax_nll(z, targets, scale, nll)
    add_table_gradients(z, E, ids, U[H:], dE, dU[H:])
    add_output_gradients(h, z, dU[:H], db2)
    multiply(z, U[:H].T, da)
    for k in range(N):
        d, row = da[k], h[k]
        for j in range(H):
            d[j] *= one - row[j] * row[j]  # tanh' = 1 - tanh²
    add_table_gradients(da, E, ids, W1, dE, dW1)
    add_column_sums(da, db1)
    return sum_in_double(nll)


@kernel
def forward(E, ids, W1, b1, out):
    """out = [tanh(x W1 + b1); x].  Rows are taken whole and then sliced, so that the compiler knows that they are contiguous."""
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
    add_column_sums(da, db1)
    scatter_add_rows(dE, ids.reshape(ids.size), dx.reshape(ids.size, D))


def _example(rng):
    return rng.normal(size=(5, 2)), np.array([[1, 4, 1], [0, 1, 2], [3, 3, 0], [4, 0, 2]]), rng.normal(size=(6, 3)), rng.normal(size=3)


pair(window, window_backward, _example)
pair(from_tables, from_tables_backward, _example)
