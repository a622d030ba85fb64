"""Nonlinearities, element by element."""

import numpy as np

from nlmcli.nn.pair import pair


def tanh(x):
    """y = tanh(x).  Any shape."""
    y = np.tanh(x)
    return y, y


def tanh_backward(dy, y):
    """dx = dy (1 - y²), because tanh' = 1 - tanh²."""
    return (dy * (1 - y * y),)


def softmax(t):
    """p_i = exp(t_i) / Σ_j exp(t_j), over the last axis.  The maximum is taken off first, so that exp cannot overflow."""
    p = np.exp(t - t.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p, p


def softmax_backward(dp, p):
    """dt_i = p_i (dp_i - Σ_j dp_j p_j), because dp_j/dt_i = p_j (1[i = j] - p_i)."""
    return (p * (dp - (dp * p).sum(-1, keepdims=True)),)


def _example(rng):
    return (rng.normal(size=(3, 4)),)


pair(tanh, tanh_backward, _example)
pair(softmax, softmax_backward, _example)
