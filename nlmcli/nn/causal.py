"""A convolution over time that does not see the future, and the gate that its sums go through.

y_t = [x_{t-d}; x_t] W + b: kernels of two taps, d steps apart (dilation d). With time as the first axis, the rows d steps
earlier are the same rows of memory shifted by d · B, so that a convolution is two matrix products.
"""

import numpy as np

from nlmcli.nn.elementary import sigmoid, tanh
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_up
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair


def convolution(x, before, W, b):
    """y_t = [x_{t-d}; x_t] W + b.  x (T,B,C), before (d,B,C) what x follows on, W (2C,M), b (M,) -> y (T,B,M), the last d of x (d,B,C)."""
    T, (d, B, C) = len(x), before.shape
    rows = np.concatenate([before, x]).reshape(-1, C)
    y = np.empty((T, B, b.size), x.dtype)
    convolve(rows, W, b, y.reshape(T * B, -1))
    return (y, rows[T * B :].reshape(before.shape)), (rows, W, d)


def convolution_backward(dy, cache):
    """dx_t = dy_t W₁ᵀ + dy_{t+d} W₀ᵀ;  dW₀ = Σ_t x_{t-d}ᵀ dy_t;  dW₁ = Σ_t x_tᵀ dy_t;  W = [W₀; W₁].

    dy: dy (T,B,M) and what comes back through the last d of x, None for nothing.  -> dx (T,B,C), dbefore (d,B,C), dW, db
    """
    (dy, dlast), (rows, W, d) = dy, cache
    T, B, M = dy.shape
    drows, dW, db = np.zeros_like(rows), np.zeros_like(W), np.zeros(M, W.dtype)
    convolve_backward(np.ascontiguousarray(dy).reshape(T * B, M), rows, W, drows, dW, db)
    drows = drows.reshape(T + d, B, -1)
    if dlast is not None:
        drows[T:] += dlast
    return drows[d:], drows[:d], dW, db


def gate(a):
    """z = tanh(f) σ(g), a = [f; g].  a (..., 2C) -> z (..., C)."""
    gates, z = a.copy(), np.empty((*a.shape[:-1], a.shape[-1] // 2), a.dtype)
    open_gates(rows_of(gates), rows_of(z))
    return z, gates


def gate_backward(dz, gates):
    """df = dz σ(g) (1 - tanh²f);  dg = dz tanh(f) σ(g) (1 - σ(g)).  dz (..., C) -> da (..., 2C)."""
    da = gates.copy()
    gates_backward(rows_of(np.ascontiguousarray(dz)), rows_of(da))
    return (da,)


def rows_of(x):
    return x.reshape(-1, x.shape[-1])


@kernel
def convolve(rows, W, b, y):
    """rows (n + N, C): those of x after the n of before.  y (N,M)."""
    N, C = y.shape[0], rows.shape[1]
    multiply(rows[:N], W[:C], y, bias=b)
    multiply(rows[rows.shape[0] - N :], W[C:], y, accumulate=True)


@kernel
def convolve_backward(dy, rows, W, drows, dW, db):
    """Adds to drows, dW and db."""
    N, C = dy.shape[0], rows.shape[1]
    n = rows.shape[0] - N
    multiply(dy, W[:C].T, drows[:N], accumulate=True)
    multiply(dy, W[C:].T, drows[n:], accumulate=True)
    multiply(rows[:N].T, dy, dW[:C], accumulate=True)
    multiply(rows[n:].T, dy, dW[C:], accumulate=True)
    add_up(dy, db)


@kernel
def open_gates(a, z):
    """a (N,2C): the sums that go into the gates become the gates.  z (N,C)."""
    C = z.shape[1]
    for k in range(z.shape[0]):
        f, g, out = a[k][:C], a[k][C:], z[k]
        for j in range(C):
            f[j] = tanh(f[j])
        for j in range(C):
            g[j] = sigmoid(g[j])
        for j in range(C):
            out[j] = f[j] * g[j]


@kernel
def gates_backward(dz, gates):
    """The gates become the gradients of their sums."""
    C = dz.shape[1]
    one = gates.dtype.type(1)
    for k in range(dz.shape[0]):
        f, g, d = gates[k][:C], gates[k][C:], dz[k]
        for j in range(C):
            fj, gj = f[j], g[j]
            f[j] = d[j] * gj * (one - fj * fj)  # tanh' = 1 - tanh²
            g[j] = d[j] * fj * gj * (one - gj)  # σ' = σ (1 - σ)


def _example(rng):
    return rng.normal(size=(5, 2, 3)), rng.normal(size=(2, 2, 3)), rng.normal(size=(6, 4)), rng.normal(size=4)


pair(convolution, convolution_backward, _example)
pair(gate, gate_backward, lambda rng: (rng.normal(size=(2, 3, 8)),))
