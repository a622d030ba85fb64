"""Composition by addition: the context is the sum of the embeddings of the last n words, whatever their order.

o_t = e_{t-n+1} + ... + e_t;   y_t = o_t U + b2.          Mikolov et al. 2013 (the bag of words of word2vec)
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.models import base
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import context_windows, scatter_add


@dataclass(frozen=True)
class Config(base.Config):
    context: int = base.context(3)


class Additive(base.Model):
    """o_t = Σ_{j<n} E[x_{t-j}].  State: the ids of the last n-1 words (n-1,B)."""

    Config = Config
    lr_scale = 11.0
    reads_order = False  # only by what falls out of the context

    def shapes(self):
        return {**self.embedding_shapes(), **self.output_shapes(self.config.embed)}

    def start(self, batch, dtype=np.float32):
        return (np.full((self.config.context - 1, batch), self.newline),)

    def forward(self, P, x, state, rng=None):
        ids, before = context_windows(state[0], x)
        o, keep = dropout(P.E[ids].sum(2), self.config.dropout, rng)
        return o, (before,), (ids, keep)

    def backward(self, do, cache, G):
        ids, keep = cache
        (do,) = dropout_backward(do, keep)
        de = np.broadcast_to(do[:, :, None, :], (*ids.shape, do.shape[-1]))  # each embedding gets the gradient of the sum
        scatter_add(G.E, ids, de)
