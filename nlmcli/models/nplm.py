"""The neural probabilistic language model with direct connections from the words to the output.

    x_t = [e_{t-n+1}; ...; e_t];   y_t = tanh(x_t W1 + b1) W2 + x_t W3 + b2.          Bengio et al. 2003
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.models import base
from nlmcli.nn.activations import tanh, tanh_backward
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import look_back, scatter_add
from nlmcli.nn.linear import linear, linear_backward


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int = 256
    context: int = 8


class NPLM(base.Model):
    """The head reads [tanh(x_t W1 + b1); x_t] through [W2; W3].  State: the ids of the last n-1 words (n-1,B)."""

    Config = Config

    def shapes(self):
        n, D, H = self.config.context, self.config.embed, self.config.hidden
        return {
            "E": (self.V, D),
            "W1": (n * D, H),
            "b1": (H,),
            "W2": (H, self.V),
            "W3": (n * D, self.V),
            "b2": (self.V,),
        }

    def head(self, P):
        return P.together("W2", "W3"), P.b2  # W2 and W3 lie beside each other in θ

    def start(self, batch, dtype=np.float32):
        return (np.full((self.config.context - 1, batch), self.newline),)

    def forward(self, P, x, state, rng=None):
        ids, before = look_back(state[0], x)
        e = P.E[ids].reshape(x.size, -1)
        a, linear_cache = linear(e, P.W1, P.b1)
        h, tanh_cache = tanh(a)
        h, keep = dropout(h, self.config.dropout, rng)
        both = np.concatenate([h, e], axis=1)
        return both.reshape(*x.shape, -1), (before,), (ids, linear_cache, tanh_cache, keep)

    def backward(self, dboth, cache, G):
        ids, linear_cache, tanh_cache, keep = cache
        dh, de_direct = np.split(dboth.reshape(ids.shape[0] * ids.shape[1], -1), [self.config.hidden], axis=1)
        (dh,) = dropout_backward(dh, keep)
        (da,) = tanh_backward(dh, tanh_cache)
        de, dW1, db1 = linear_backward(da, linear_cache)
        G.W1 += dW1
        G.b1 += db1
        scatter_add(G.E, ids, de + de_direct)
