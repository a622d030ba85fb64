"""Regression: a number for a text.

    x as for classification;   ŷ = x w + b, L = (y - ŷ)²

The numbers are standardized for training, y = (answer - mean) / deviation, and given as they were.
"""

import numpy as np

from nlmcli.heads.base import head
from nlmcli.heads.base.pool import pool, pool_backward
from nlmcli.nn.linear import linear, linear_backward
from nlmcli.nn.squared_error import squared_error


class Regress(head.Head):
    """ŷ of a text."""

    Config = head.Config
    defaults = head.DEFAULTS

    def example_answers(self, rng, x):
        return rng.standard_normal((1, x.shape[1]))

    def head_shapes(self):
        return {"W": (4 * self.F if self.paired else self.F, 1), "b": (1,)}

    def loss(self, P, h, lengths, y, scale, G, rng):
        x, cache = pool(h, lengths, self.paired)
        x, keep = self.drop(x, rng)
        y_hat, linear_cache = linear(x, P.W, P.b)
        mean, dy_hat = squared_error(y_hat[:, 0], y.astype(x.dtype))
        dx, dW, db = linear_backward((dy_hat * x.dtype.type(scale * len(y)))[:, None], linear_cache)
        G.W += dW
        G.b += db
        return float(mean) * len(y), pool_backward(self.drop_backward(dx, keep), cache)

    def answers(self, P, h, lengths, read):
        return linear(pool(h, lengths, self.paired)[0], P.W, P.b)[0][:, 0]

    def draw(self, P, x, targets, state, rng, u):
        """ŷ and a normal error: L is the likelihood of a normal distribution of variance 1/2."""
        h, lengths, _ = self.encoder.forward(P, self.columns(x), rng)
        radius = np.sqrt(-np.log1p(-u))  # Box & Muller 1958
        return self.answers(P, h, lengths, x) + radius * np.cos(2 * np.pi * np.roll(u, 1))
