"""A softmax over four words, with cross-entropy."""

import numpy as np

from nlmcli.engine.checking.examples.base.numeric import RATE, Line, slope
from nlmcli.nn.activations import softmax
from nlmcli.nn.cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward


def lines() -> list[Line]:
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
