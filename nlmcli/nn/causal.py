"""A causal dilated convolution over time, and the gated activation of its output.

    y_t = [x_{t-d}; x_t] W + b: a kernel of width 2 with dilation d

With time as the first axis, the rows of x_{t-d} lie d · B rows before those of x_t in memory: a convolution is two
matrix products, W = [W₀; W₁].
"""

import numpy as np

from nlmcli.nn.elementary import sigmoid, tanh
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_column_sums
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair


def dilated_convolution(x, before, W, b):
    """y_t = [x_{t-d}; x_t] W + b.  x (T,B,C), before (d,B,C) the d steps before x, W (2C,M), b (M,) -> y (T,B,M)."""
    rows = rows_of(np.concatenate([before, x]))
    y = np.empty((*x.shape[:2], b.size), x.dtype)
    convolve(rows, W, b, rows_of(y))
    return y, (rows, before.shape, W)


def dilated_convolution_backward(dy, cache):
    """dx_t = dy_t W₁ᵀ + dy_{t+d} W₀ᵀ;  dW₀ = Σ_t x_{t-d}ᵀ dy_t;  dW₁ = Σ_t x_tᵀ dy_t;  db = Σ_t dy_t.

    dy (T,B,M) -> dx (T,B,C), dbefore (d,B,C), dW (2C,M), db (M,)
    """
    rows, before, W = cache
    d, B, C = before
    drows, dW, db = np.zeros_like(rows), np.zeros_like(W), np.zeros(W.shape[1], W.dtype)
    convolve_backward(rows_of(np.ascontiguousarray(dy)), rows, W, drows, dW, db)
    return drows[d * B :].reshape(-1, B, C), drows[: d * B].reshape(before), dW, db


def gate(a):
    """z = tanh(f) σ(g), a = [f; g].  a (..., 2C) -> z (..., C)."""
    gates, z = a.copy(), np.empty((*a.shape[:-1], a.shape[-1] // 2), a.dtype)
    apply_gates(rows_of(gates), rows_of(z))
    return z, gates


def gate_backward(dz, gates):
    """df = dz σ(g) (1 - tanh²f);  dg = dz tanh(f) σ(g) (1 - σ(g)).  dz (..., C) -> da (..., 2C)."""
    da = gates.copy()
    apply_gates_backward(rows_of(np.ascontiguousarray(dz)), rows_of(da))
    return (da,)


def rows_of(x):
    """x (..., C) -> (N, C), a view."""
    return x.reshape(-1, x.shape[-1])


@kernel
def convolve(rows, W, b, y):
    """rows (d B + N, C): those of before, then those of x.  y (N,M)."""
    N, C = y.shape[0], rows.shape[1]
    multiply(rows[:N], W[:C], y, bias=b)
    multiply(rows[rows.shape[0] - N :], W[C:], y, accumulate=True)


@kernel
def convolve_backward(dy, rows, W, drows, dW, db):
    """Add the gradients to drows, dW and db."""
    N, C = dy.shape[0], rows.shape[1]
    here = rows.shape[0] - N
    multiply(dy, W[:C].T, drows[:N], accumulate=True)
    multiply(dy, W[C:].T, drows[here:], accumulate=True)
    multiply(rows[:N].T, dy, dW[:C], accumulate=True)
    multiply(rows[here:].T, dy, dW[C:], accumulate=True)
    add_column_sums(dy, db)


@kernel
def apply_gates(gates, z):
    """Turn pre-activations into gates, in place, and multiply them.  gates (N,2C), z (N,C)."""
    C = z.shape[1]
    for k in range(z.shape[0]):
        f, g, out = gates[k][:C], gates[k][C:], z[k]
        for j in range(C):
            f[j] = tanh(f[j])
        for j in range(C):
            g[j] = sigmoid(g[j])
        for j in range(C):
            out[j] = f[j] * g[j]


@kernel
def apply_gates_backward(dz, gates):
    """Replace the gates by the gradients of their pre-activations.  dz (N,C), gates (N,2C)."""
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


pair(dilated_convolution, dilated_convolution_backward, _example)
pair(gate, gate_backward, lambda rng: (rng.normal(size=(2, 3, 8)),))
