"""Element-wise activation functions, and softmax."""

import math

import numpy as np

from nlmcli.nn import elementary
from nlmcli.nn.elementary import sigmoid
from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair

TWICE_ROOT, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715  # constants of gelu


def tanh(x):
    """y = tanh(x).  Any shape."""
    y = np.tanh(x)
    return y, y


def tanh_backward(dy, y):
    """dx = dy (1 - y²), because tanh' = 1 - tanh²."""
    return (dy * (1 - y * y),)


def gelu(u):
    """y = u σ(z), z = 2√(2/π) (u + 0.044715 u³): the tanh form, since ½ (1 + tanh x) = σ(2x).  Any shape.  Hendrycks & Gimpel 2016"""
    y = np.empty_like(u)
    gelu_into(u.reshape(-1), y.reshape(-1))
    return y, u


def gelu_backward(dy, u):
    """du = dy (σ(z) + u σ(z) (1 - σ(z)) z'), z' = 2√(2/π) (1 + 3 · 0.044715 u²)."""
    du = np.array(dy)
    gelu_and_gradient(u.reshape(-1), du.reshape(-1), np.empty(u.size, u.dtype))
    return (du,)


@kernel
def gelu_into(u, y):
    """y = gelu(u).  u, y (n,)."""
    a, c = u.dtype.type(TWICE_ROOT), u.dtype.type(CUBIC)
    for i in range(u.size):
        y[i] = u[i] * sigmoid(a * (u[i] + c * u[i] * u[i] * u[i]))


@kernel
def gelu_and_gradient(u, d, y):
    """y = gelu(u), recomputed; d *= gelu'(u).  u, d, y (n,)."""
    one, a, c = u.dtype.type(1), u.dtype.type(TWICE_ROOT), u.dtype.type(CUBIC)
    three_c = u.dtype.type(3 * CUBIC)
    for i in range(u.size):
        square = u[i] * u[i]
        s = sigmoid(a * (u[i] + c * u[i] * square))
        y[i] = u[i] * s
        d[i] *= s + u[i] * s * (one - s) * a * (one + three_c * square)


def softmax(t):
    """p_i = exp(t_i) / Σ_j exp(t_j), over the last axis.  The maximum is subtracted first, so that exp cannot overflow."""
    p = np.exp(t - t.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p, p


def softmax_backward(dp, p):
    """dt_i = p_i (dp_i - Σ_j dp_j p_j), because dp_j/dt_i = p_j (1[i = j] - p_i)."""
    return (p * (dp - (dp * p).sum(-1, keepdims=True)),)


def silu(x):
    """y = x σ(x) (Hendrycks & Gimpel 2016; Ramachandran et al. 2017).  Any shape."""
    y = np.empty(x.shape, x.dtype)
    silu_each(x.reshape(-1), y.reshape(-1))
    return y, x


def silu_backward(dy, x):
    """dx = dy σ (1 + x (1 - σ)), because σ' = σ (1 - σ)."""
    dx = np.empty(x.shape, x.dtype)
    silu_each_backward(dy.reshape(-1), x.reshape(-1), dx.reshape(-1))
    return (dx,)


def softplus(x):
    """y = ln(1 + eˣ): positive everywhere, and smooth.  Any shape."""
    y = np.empty(x.shape, x.dtype)
    softplus_each(x.reshape(-1), y.reshape(-1))
    return y, x


def softplus_backward(dy, x):
    """dx = dy σ(x)."""
    dx = np.empty(x.shape, x.dtype)
    softplus_each_backward(dy.reshape(-1), x.reshape(-1), dx.reshape(-1))
    return (dx,)


@kernel
def silu_each(x, y):
    for i in range(x.size):
        y[i] = x[i] * sigmoid(x[i])


@kernel
def silu_each_backward(dy, x, dx):
    one = x.dtype.type(1)
    for i in range(x.size):
        s = sigmoid(x[i])
        dx[i] = dy[i] * s * (one + x[i] * (one - s))


@kernel
def softplus_each(x, y):
    for i in range(x.size):
        y[i] = elementary.softplus(x[i])


@kernel
def softplus_each_backward(dy, x, dx):
    for i in range(x.size):
        dx[i] = dy[i] * sigmoid(x[i])


def _example(rng):
    return (rng.normal(size=(3, 4)),)


pair(tanh, tanh_backward, _example)
pair(gelu, gelu_backward, _example)
pair(softmax, softmax_backward, _example)
pair(silu, silu_backward, _example)
pair(softplus, softplus_backward, _example)
