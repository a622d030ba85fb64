"""A fixed window: the embeddings of the last n words, concatenated, and one tanh layer.

x_t = [e_{t-n+1}; ...; e_t];   h_t = tanh(x_t W1 + b1);   y_t = h_t U + b2.
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.models import base
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import context_windows
from nlmcli.nn.window import add_gradients, fused_kernel, window


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int = base.hidden(256)
    context: int = base.context(8)


class Window(base.Model):
    """h_t = tanh([e_{t-n+1}; ...; e_t] W1 + b1).  State: the ids of the last n-1 words (n-1,B)."""

    Config = Config
    lr_scale = 8.5
    overfits = True

    def shapes(self):
        n, D, H = self.config.context, self.config.embed, self.config.hidden
        return {**self.embedding_shapes(), "W1": (n * D, H), "b1": (H,), **self.output_shapes(H)}

    def start(self, batch, dtype=np.float32):
        return (np.full((self.config.context - 1, batch), self.newline),)

    def forward(self, P, x, state, rng=None):
        ids, before = context_windows(state[0], x)
        out, cache = window(P.E, ids.reshape(x.size, -1), P.W1, P.b1)
        h, keep = dropout(out[:, : self.config.hidden], self.config.dropout, rng)
        y, projection_cache = self.project(P, h.reshape(*x.shape, -1))
        return y, (before,), (cache, keep, projection_cache)

    def backward(self, dh, cache, G):
        window_cache, keep, projection_cache = cache
        dh = self.project_backward(dh, projection_cache, G)
        (dh,) = dropout_backward(dh.reshape(-1, dh.shape[-1]), keep)
        add_gradients(dh, window_cache, G.E, G.W1, G.b1)

    @property
    def has_fused_step(self):
        return True

    def fused_step(self, P, x, targets, state, scale, G):
        ids, before = context_windows(state[0], x)
        inputs = (P.E, ids.reshape(x.size, -1), P.W1, P.b1, *self.head(P), targets, P.E.dtype.type(scale))
        return fused_kernel(*inputs, G.E, G.W1, G.b1, *self.head(G)), (before,)
