"""Y = X W + b: the linear layer, and why its Jacobian is never built.

dY/dX has N·M × N·D entries, nearly all of them zero; multiplied into dL/dY it collapses to dL/dX = dL/dY Wᵀ.
In the same way dL/dW = Xᵀ dL/dY, and dL/db sums dL/dY over the rows.
"""

from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair


def linear(X, W, b):
    """Y = X W + b.  X (N,D), W (D,M), b (M,) -> Y (N,M)."""
    Y = X @ W
    Y += b
    return Y, (X, W)


def linear_backward(dY, cache):
    """dX = dY Wᵀ;  dW = Xᵀ dY;  db = Σ_n dY_n.  dY (N,M) -> dX (N,D), dW (D,M), db (M,)."""
    X, W = cache
    return dY @ W.T, X.T @ dY, dY.sum(0)


@kernel
def add_product(A, B, out):
    """out += A B, row by row of B.  A (N,K), B (K,M), out (N,M)."""
    for i in range(A.shape[0]):
        for k in range(A.shape[1]):
            for j in range(B.shape[1]):
                out[i, j] += A[i, k] * B[k, j]


def _example(rng):
    return rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)


pair(linear, linear_backward, _example)
