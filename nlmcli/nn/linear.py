"""Y = X W + b: the linear layer, and why its Jacobian is never built.

dY/dX has N·M × N·D entries, nearly all of them zero; multiplied by dL/dY, it collapses to dL/dX = dL/dY Wᵀ.
Likewise dL/dW = Xᵀ dL/dY, and dL/db sums dL/dY over the rows.
"""

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.matmul import matmul, multiply
from nlmcli.nn.pair import pair


def linear(X, W, b):
    """Y = X W + b.  X (N,D), W (D,M), b (M,) -> Y (N,M)."""
    Y = np.empty((len(X), W.shape[1]), X.dtype)
    multiply(X, W, Y, bias=b)
    return Y, (X, W)


def linear_backward(dY, cache):
    """dX = dY Wᵀ;  dW = Xᵀ dY;  db = Σ_n dY_n.  dY (N,M) -> dX (N,D), dW (D,M), db (M,)."""
    X, W = cache
    dX, dW, db = np.empty_like(X), np.zeros_like(W), np.zeros(W.shape[1], W.dtype)
    add_gradients(X, W, dY, dX, dW, db)
    return dX, dW, db


def matmul_backward(dY, X, W, dW, dX=None):
    """Y = X W:  dW += Xᵀ dY;  dX = dY Wᵀ, or dX += dY Wᵀ if dX is given."""
    matmul(X.T, dY, out=dW, accumulate=True)
    return matmul(dY, W.T, out=dX, accumulate=dX is not None)


@kernel
def add_gradients(X, W, dY, dX, dW, db):
    """dX = dY Wᵀ;  dW += Xᵀ dY;  db += Σ_n dY_n."""
    multiply(dY, W.T, dX)
    add_weight_gradients(X, dY, dW, db)


@kernel
def add_weight_gradients(X, dY, dW, db):
    """dW += Xᵀ dY;  db += Σ_n dY_n."""
    multiply(X.T, dY, dW, accumulate=True)
    add_column_sums(dY, db)


@kernel
def add_column_sums(rows, out):
    """out += Σ_n rows_n.  rows (N,M), out (M,)."""
    for n in range(rows.shape[0]):
        row = rows[n]
        for j in range(out.size):
            out[j] += row[j]


def _example(rng):
    return rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)


pair(linear, linear_backward, _example)
