"""Squared error of a number.

L = 1/n Σ (y - ŷ)²;   dL/dŷ = 2 (ŷ - y) / n
"""

import numpy as np

from nlmcli.nn.pair import pair


def squared_error(y_hat, y):
    """L = 1/n Σ (y - ŷ)².  y_hat, y (n,) -> L, a scalar."""
    difference = y_hat - y
    return (difference * difference).sum() / len(y_hat), 2 / len(y_hat) * difference


def squared_error_backward(dL, dy_hat):
    """dŷ = dL · 2 (ŷ - y) / n;  dy = -dŷ."""
    return dL * dy_hat, -dL * dy_hat


pair(squared_error, squared_error_backward, lambda rng: (rng.normal(size=4), np.array([0.5, -1.0, 2.0, 0.0])))
