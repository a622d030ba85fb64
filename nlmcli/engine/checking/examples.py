"""The lecture's worked examples of back-propagation: every factor with its numeric value, then the parameter update.

Each example is a list of (what, value, numeric): numeric is a central difference, or None for values that are not derivatives.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from nlmcli.errors import InputError, suggest
from nlmcli.nn.activations import softmax
from nlmcli.nn.cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward
from nlmcli.nn.linear import linear, linear_backward

Line = tuple[str, Any, Any]

RATE = 0.1  # η, the learning rate
STEP = 1e-6  # of the central differences


def slope(f: Callable[[Any], Any], at: Any) -> Any:
    """df/dx at x = `at`, by central differences.  at: a number, or an array; then f is a scalar, with one derivative per entry."""
    if np.ndim(at) == 0:
        return (f(at + STEP) - f(at - STEP)) / (2 * STEP)
    out = np.empty_like(at)
    for i in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[i] = STEP
        out[i] = (f(at + step) - f(at - step)) / (2 * STEP)
    return out


def jacobian(f: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """The Jacobian of f at x = `at`, by central differences; rows: entries of f(x), columns: entries of x."""

    def row(i: int) -> np.ndarray:
        return slope(lambda x: f(x).reshape(-1)[i], at).reshape(-1)

    return np.stack([row(i) for i in range(f(at).size)])


def neuron() -> list[Line]:
    """b = w1 x, h = tanh(b), a = w2 h, o = tanh(a), L = ½ (y - o)²: the chain rule, factor by factor."""
    x, y, w1, w2 = 0.5, 1.0, 0.8, -0.6

    def h_of(w1):
        return np.tanh(w1 * x)

    def loss(w1, w2):
        return 0.5 * (y - np.tanh(w2 * h_of(w1))) ** 2

    b = w1 * x
    h = h_of(w1)
    a = w2 * h
    o = np.tanh(a)
    dL_do, do_da, da_dw2, da_dh, dh_db, db_dw1 = o - y, 1 - o**2, h, w2, 1 - h**2, x
    dL_dw2 = dL_do * do_da * da_dw2
    dL_dw1 = dL_do * do_da * da_dh * dh_db * db_dw1
    new1, new2 = w1 - RATE * dL_dw1, w2 - RATE * dL_dw2
    return [
        ("x", x, None),
        ("y", y, None),
        ("w1", w1, None),
        ("w2", w2, None),
        ("b = w1 x", b, None),
        ("h = tanh(b)", h, None),
        ("a = w2 h", a, None),
        ("o = tanh(a)", o, None),
        ("L = 1/2 (y - o)^2", loss(w1, w2), None),
        ("dL/do = o - y", dL_do, slope(lambda o: 0.5 * (y - o) ** 2, o)),
        ("do/da = 1 - o^2", do_da, slope(np.tanh, a)),
        ("da/dw2 = h", da_dw2, slope(lambda w: w * h, w2)),
        ("da/dh = w2", da_dh, slope(lambda h: w2 * h, h)),
        ("dh/db = 1 - h^2", dh_db, slope(np.tanh, b)),
        ("db/dw1 = x", db_dw1, slope(lambda w: w * x, w1)),
        ("dL/dw2 = dL/do do/da da/dw2", dL_dw2, slope(lambda w: loss(w1, w), w2)),
        ("dL/dw1 = dL/do do/da da/dh dh/db db/dw1", dL_dw1, slope(lambda w: loss(w, w2), w1)),
        (f"w2 - {RATE} dL/dw2", new2, None),
        (f"w1 - {RATE} dL/dw1", new1, None),
        ("L after the update", loss(new1, new2), None),
    ]


def linear_layer() -> list[Line]:
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


def softmax_layer() -> list[Line]:
    """p = softmax(t) over books, cars, laptops, zoo, with target books; L = -ln p[books]; dL/dt = p - onehot(books)."""
    words, t, books = ["books", "cars", "laptops", "zoo"], np.array([1.8, -1.9, 2.9, -0.9]), np.array([0])

    def loss(t):
        return float(softmax_cross_entropy(t[None], books)[0])

    p, _ = softmax(t)
    (dt,) = softmax_cross_entropy_backward(1.0, softmax_cross_entropy(t[None], books)[1])
    numeric, new = slope(loss, t), t - RATE * dt[0]
    return [
        *((f"t[{word}]", t[i], None) for i, word in enumerate(words)),
        *((f"p[{word}] = exp(t[{word}]) / sum", p[i], None) for i, word in enumerate(words)),
        ("L = -ln p[books], the target is books", loss(t), None),
        *((f"dL/dt[{word}] = p - {int(i == 0)}", dt[0, i], numeric[i]) for i, word in enumerate(words)),
        *((f"t[{word}] - {RATE} dL/dt", new[i], None) for i, word in enumerate(words)),
        *((f"p[{word}] after the update", softmax(new)[0][i], None) for i, word in enumerate(words)),
        ("L after the update", loss(new), None),
    ]


EXAMPLES: dict[str, Callable[[], list[Line]]] = {"neuron": neuron, "linear": linear_layer, "softmax": softmax_layer}


def example(name: str) -> list[Line]:
    """The worked example with this name.  Raises InputError for an unknown one."""
    if name not in EXAMPLES:
        raise InputError(f"unknown example {name!r}{suggest(name, sorted(EXAMPLES))}")
    return EXAMPLES[name]()
