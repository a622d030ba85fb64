"""What simple recurrent networks, LSTM and GRU have in common: embeddings, layers of one recurrence, dropout between them.

    a_t = x_t Wx + b1;   h_t = cell(a_t, h_{t-1});   the h of one layer are the x of the next

Trained by back-propagation through time, cut off at the segment's first step (Williams & Peng 1990): the state before
it is taken as given. A cell's file has its equations, its pair of functions and its kernels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nlmcli.models import base
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import embedding, scatter_add
from nlmcli.nn.linear import linear, linear_backward


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int = 256
    layers: int = 1


class Recurrent(base.Model):
    """Layers of one cell.  State: for everything a cell remembers (L,B,H), h first.

    A cell gives: `gates`, how many vectors of H its input is; `memories`, how many it remembers; `recur` and
    `recur_backward`, a pair of (rows, index, Wh, *state) -> h (T,B,H), *state after.
    """

    gates: ClassVar[int]
    memories: ClassVar[int] = 1
    recur: ClassVar[Callable]
    recur_backward: ClassVar[Callable]

    def shapes(self):
        D, H, L, Q = self.config.embed, self.config.hidden, self.config.layers, self.gates * self.config.hidden
        above = {"Wx": (L - 1, H, Q)} if L > 1 else {}  # what a layer reads from the one below
        return {"E": (self.V, D), "We": (D, Q), **above, "Wh": (L, H, Q), "b1": (L, Q), "U": (H, self.V), "b2": (self.V,)}

    def start(self, batch, dtype=np.float32):
        return tuple(np.zeros((self.config.layers, batch, self.config.hidden), dtype) for _ in range(self.memories))

    def forward(self, P, x, state, rng=None):
        p = self.config.dropout
        after = tuple(np.empty_like(memory) for memory in state)
        layers, y = [], None
        for l in range(self.config.layers):
            rows, index, input_cache = self.read_words(P, x, rng) if l == 0 else self.read_below(P, l, y)
            (h, *last), cell_cache = self.recur(rows, index, P.Wh[l], *(memory[l] for memory in state))
            for memory, value in zip(after, last, strict=True):
                memory[l] = value
            y, keep = dropout(h, p, rng)
            layers.append((input_cache, cell_cache, keep))
        return y, after, (x, layers)

    def backward(self, dy, cache, G):
        x, layers = cache
        for l in reversed(range(len(layers))):
            input_cache, cell_cache, keep = layers[l]
            (dh,) = dropout_backward(dy, keep)
            drows, dWh, *_ = self.recur_backward((dh, *(None,) * self.memories), cell_cache)
            G.Wh[l] += dWh
            if l == 0:
                self.words_backward(drows, x, input_cache, G)
            else:
                dy = self.below_backward(drows, l, input_cache, G).reshape(dy.shape)

    def read_words(self, P, x, rng):
        """E[x] We + b1 as rows, and the index of the row that each position adds.

        Where there are fewer words than positions, every word's row is made once: a table in place of N products.
        """
        if x.size > self.V and not (rng and self.config.dropout):
            rows, linear_cache = linear(P.E, P.We, P.b1[0])
            return rows, x, (linear_cache, None, True)
        e, keep = dropout(embedding(P.E, x)[0], self.config.dropout, rng)
        rows, linear_cache = linear(e.reshape(x.size, -1), P.We, P.b1[0])
        return rows, in_order(x.shape), (linear_cache, keep, False)

    def words_backward(self, drows, x, cache, G):
        linear_cache, keep, table = cache
        de, dWe, db = linear_backward(drows, linear_cache)
        G.We += dWe
        G.b1[0] += db
        if table:
            G.E += de
        else:
            scatter_add(G.E, x, dropout_backward(de.reshape(*x.shape, -1), keep)[0])

    def read_below(self, P, l, y):
        rows, linear_cache = linear(y.reshape(-1, y.shape[-1]), P.Wx[l - 1], P.b1[l])
        return rows, in_order(y.shape[:2]), linear_cache

    def below_backward(self, drows, l, linear_cache, G):
        dy, dWx, db = linear_backward(drows, linear_cache)
        G.Wx[l - 1] += dWx
        G.b1[l] += db
        return dy


def in_order(shape):
    """The index of rows that are one for each position."""
    return np.arange(shape[0] * shape[1]).reshape(shape)
