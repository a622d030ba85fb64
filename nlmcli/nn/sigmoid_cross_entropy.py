"""Binary cross-entropy of a logit.

ŷ = σ(a);   L = 1/n Σ -y ln ŷ - (1-y) ln(1-ŷ) = 1/n Σ max(a,0) - a y + ln(1 + e^-|a|);   dL/da = (ŷ - y) / n
"""

import numpy as np

from nlmcli.nn.pair import pair


def sigmoid_cross_entropy(a, y):
    """L = 1/n Σ -y ln σ(a) - (1-y) ln(1-σ(a)).  a, y (n,), y 0 or 1 -> L, a scalar."""
    losses, da = each_sigmoid_cross_entropy(a, y)
    return losses.sum() / len(a), da / len(a)


def sigmoid_cross_entropy_backward(dL, da):
    """da = dL (σ(a) - y) / n, which the forward pass has computed."""
    return (dL * da,)


def each_sigmoid_cross_entropy(a, y):
    """The loss of each logit, in a form that does not overflow, and σ(a) - y.  a, y (n,) -> (n,), (n,)"""
    small = np.exp(-np.abs(a))
    p = np.where(a >= 0, 1, small) / (1 + small)
    return np.maximum(a, 0) - a * y + np.log1p(small), p.astype(a.dtype) - y.astype(a.dtype)


pair(sigmoid_cross_entropy, sigmoid_cross_entropy_backward, lambda rng: (rng.normal(size=4), np.array([1, 0, 0, 1])))
