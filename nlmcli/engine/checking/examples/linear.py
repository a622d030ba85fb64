"""A linear layer: its full Jacobians, and the two matrix products that replace them."""

import numpy as np

from nlmcli.engine.checking.examples.base.numeric import RATE, Line, jacobian, slope
from nlmcli.nn.linear import linear, linear_backward


def lines() -> list[Line]:
    """Y = X W, N=2, D=2, M=3, L = Σ dL/dY · Y: the full Jacobians, and the two matrix products equal to multiplying by them."""
    X = np.array([[1.0, -2.0], [0.5, 3.0]])
    W = np.array([[2.0, 0.0, -1.0], [1.0, -3.0, 0.5]])
    dY = np.array([[1.0, 0.5, -1.0], [0.0, 2.0, 1.0]])
    zero = np.zeros(3)
    Y, cache = linear(X, W, zero)
    dX, dW, _ = linear_backward(dY, cache)
    dYdX = np.kron(np.eye(2), W.T)  # row (n,m), column (n',d): W[d,m] where n = n', else 0
    dYdW = np.kron(X, np.eye(3))  # row (n,m), column (d,m'): X[n,d] where m = m', else 0
    newW = W - RATE * dW

    def loss(X, W):
        return float((dY * (X @ W)).sum())

    return [
        ("X (2,2)", X, None),
        ("W (2,3)", W, None),
        ("Y = X W (2,3)", Y, None),
        ("dL/dY (2,3), given", dY, None),
        ("L = Σ dL/dY · Y, over all entries", loss(X, W), None),
        ("dY/dX, the Jacobian (2·3, 2·2)", dYdX, jacobian(lambda X: X @ W, X)),
        ("dL/dX through the Jacobian", (dY.reshape(-1) @ dYdX).reshape(X.shape), slope(lambda X: loss(X, W), X)),
        ("dL/dX = dL/dY W^T", dX, slope(lambda X: loss(X, W), X)),
        ("dY/dW, the Jacobian (2·3, 2·3)", dYdW, jacobian(lambda W: X @ W, W)),
        ("dL/dW through the Jacobian", (dY.reshape(-1) @ dYdW).reshape(W.shape), slope(lambda W: loss(X, W), W)),
        ("dL/dW = X^T dL/dY", dW, slope(lambda W: loss(X, W), W)),
        (f"W - {RATE} dL/dW", newW, None),
        ("L after the update", loss(X, newW), None),
    ]
