"""Three losses: binary cross-entropy, negative log-likelihood and squared error, through the chain rule and in short.

L = -y ln ŷ - (1 - y) ln(1 - ŷ),  ŷ = σ(a)                   dL/da = ŷ - y
L = -ln ŷ[label],                 ŷ = softmax(a)             dL/da = ŷ - y, y = onehot(label)
L = (y - ŷ)²,                     ŷ = a                      dL/da = 2 (ŷ - y)
"""

import numpy as np

from nlmcli.engine.checking.examples.base.numeric import Line, jacobian, slope
from nlmcli.nn.activations import softmax
from nlmcli.nn.cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward


def sigmoid(a: float) -> float:
    """σ(a) = 1 / (1 + e⁻ᵃ)."""
    return float(1 / (1 + np.exp(-a)))


def cross_entropy(o: float, y: float) -> float:
    """-y ln ŷ - (1 - y) ln(1 - ŷ)."""
    return float(-y * np.log(o) - (1 - y) * np.log(1 - o))


def squared_error(o: float, y: float) -> float:
    """(y - ŷ)²."""
    return (y - o) ** 2


def binary() -> list[Line]:
    """L = -y ln ŷ - (1 - y) ln(1 - ŷ), ŷ = σ(a), a = x w + b."""
    x, w, b, y = 1.5, -0.8, 0.2, 1.0
    a = x * w + b
    o = sigmoid(a)
    dL_do, do_da = -y / o + (1 - y) / (1 - o), o * (1 - o)

    def loss(w, b):
        return cross_entropy(sigmoid(x * w + b), y)

    numeric = slope(lambda a: cross_entropy(sigmoid(a), y), a)
    return [
        ("Binary cross-entropy, ŷ the probability that y is 1", None, None),
        ("x", x, None),
        ("w", w, None),
        ("b", b, None),
        ("y", y, None),
        ("a = x w + b", a, None),
        ("ŷ = σ(a) = 1 / (1 + exp(-a))", o, None),
        ("L = -y ln ŷ - (1 - y) ln(1 - ŷ)", loss(w, b), None),
        ("dL/dŷ = -y / ŷ + (1 - y) / (1 - ŷ)", dL_do, slope(lambda o: cross_entropy(o, y), o)),
        ("dŷ/da = ŷ (1 - ŷ)", do_da, slope(sigmoid, a)),
        ("dL/da = dL/dŷ dŷ/da", dL_do * do_da, numeric),
        ("dL/da in short: ŷ - y", o - y, numeric),
        ("dL/dw = (ŷ - y) x", (o - y) * x, slope(lambda w: loss(w, b), w)),
        ("dL/db = ŷ - y", o - y, slope(lambda b: loss(w, b), b)),
    ]


def likelihood() -> list[Line]:
    """L = -ln ŷ[label], ŷ = softmax(a), a = x W + b; the short form is that of the engine."""
    x, W, b, label = np.array([1.0, -2.0]), np.array([[0.5, -0.4, 0.3], [0.2, -0.1, -0.3]]), np.array([0.1, 0.0, -0.2]), 1
    y = np.eye(3, dtype=int)[label]

    def of(a):
        return float(softmax_cross_entropy(a[None], np.array([label]))[0])

    a = x @ W + b
    o, _ = softmax(a)
    dL_do, do_da, numeric = -y / o, np.diag(o) - np.outer(o, o), slope(of, a)
    ((da,),) = softmax_cross_entropy_backward(1.0, softmax_cross_entropy(a[None], np.array([label]))[1])
    return [
        ("Negative log-likelihood, ŷ[k] the probability of class k; the label is 1", None, None),
        ("x", x, None),
        ("W (2,3)", W, None),
        ("b", b, None),
        ("a = x W + b", a, None),
        ("ŷ = softmax(a)", o, None),
        ("y = onehot(1)", y, None),
        ("L = -ln ŷ[1]", of(a), None),
        ("dL/dŷ = -y / ŷ", dL_do, slope(lambda o: float(-np.log(o[label])), o)),
        ("dŷ/da = diag(ŷ) - ŷ^T ŷ, the Jacobian (3,3)", do_da, jacobian(lambda a: softmax(a)[0], a)),
        ("dL/da = dL/dŷ dŷ/da", dL_do @ do_da, numeric),
        ("dL/da in short: ŷ - y", da, numeric),
        ("dL/dW = x^T (ŷ - y)", np.outer(x, da), slope(lambda W: of(x @ W + b), W)),
        ("dL/db = ŷ - y", da, slope(lambda b: of(x @ W + b), b)),
    ]


def squared() -> list[Line]:
    """L = (y - ŷ)², ŷ = a = x w + b."""
    x, w, b, y = 1.5, -0.8, 0.2, 1.0
    o = x * w + b
    numeric = slope(lambda o: squared_error(o, y), o)
    return [
        ("Squared error, ŷ any number", None, None),
        ("ŷ = a = x w + b, the same x, w, b and y", o, None),
        ("L = (y - ŷ)^2", squared_error(o, y), None),
        ("dL/dŷ = -2 (y - ŷ)", -2 * (y - o), numeric),
        ("dŷ/da = 1", 1.0, slope(lambda a: a, o)),
        ("dL/da = dL/dŷ dŷ/da", -2 * (y - o) * 1.0, numeric),
        ("dL/da in short: 2 (ŷ - y)", 2 * (o - y), numeric),
        ("dL/dw = 2 (ŷ - y) x", 2 * (o - y) * x, slope(lambda w: squared_error(x * w + b, y), w)),
        ("dL/db = 2 (ŷ - y)", 2 * (o - y), slope(lambda b: squared_error(x * w + b, y), b)),
    ]


def saturated() -> list[Line]:
    """Confident and wrong: with a squared error the factor ŷ (1 - ŷ) stays, and almost nothing is learned."""
    a, y = -4.0, 1.0
    o = sigmoid(a)
    return [
        ("Confident and wrong: why a probability is not trained by its squared error", None, None),
        ("a", a, None),
        ("y", y, None),
        ("ŷ = σ(a)", o, None),
        ("cross-entropy: dL/da = ŷ - y", o - y, slope(lambda a: cross_entropy(sigmoid(a), y), a)),
        ("squared: dL/da = 2 (ŷ - y) ŷ (1 - ŷ)", 2 * (o - y) * o * (1 - o), slope(lambda a: squared_error(sigmoid(a), y), a)),
    ]


def lines() -> list[Line]:
    """The three losses, each with dL/dŷ, dL/da by the chain rule and dL/da in short."""
    return [*binary(), *likelihood(), *squared(), *saturated()]
