"""Cross-entropy with label smoothing: a target is mostly its label and a little of every label, so that no logit need grow without end.

q = (1-ε) onehot(y) + ε/L;   p = softmax(z);   loss -Σ_k q_k ln p_k = -ln p_y + ε (z_y - 1/L Σ_k z_k);   dloss/dz = p - q

Szegedy et al. 2016.
"""

import numpy as np

from nlmcli.nn.cross_entropy import softmax_nll
from nlmcli.nn.pair import pair


def smoothed_cross_entropy(z, targets, epsilon):
    """L = 1/n Σ -Σ_k q_k ln softmax(z)_k.  z (n,L), targets (n,), 0 <= ε < 1 -> L, a scalar."""
    losses, dz = each_smoothed_cross_entropy(z, targets, epsilon)
    return losses.sum() / len(z), dz / len(z)


def smoothed_cross_entropy_backward(dL, dz):
    """dz = dL (p - q) / n, which the forward pass has computed."""
    return (dL * dz,)


def each_smoothed_cross_entropy(z, targets, epsilon):
    """The loss of each row, and p - q.  z (n,L), targets (n,) -> (n,), (n,L)"""
    rows, number = np.arange(len(z)), z.dtype.type
    above_mean = z[rows, targets] - z.mean(1)
    losses, dz = np.empty(len(z), z.dtype), z.copy()
    softmax_nll(dz, targets, number(1), losses)
    losses += number(epsilon) * above_mean
    dz[rows, targets] += number(epsilon)
    dz -= number(epsilon / z.shape[1])
    return losses, dz


pair(smoothed_cross_entropy, smoothed_cross_entropy_backward, lambda rng: (rng.normal(size=(5, 3)), np.array([2, 0, 1, 1, 2]), 0.1))
