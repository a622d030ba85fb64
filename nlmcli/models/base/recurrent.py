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
from nlmcli.nn.embedding import add_rows, embedding, scatter_add
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_up, linear, linear_backward
from nlmcli.nn.matmul import multiply


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int = base.hidden(256)
    layers: int = base.layers(1)


class Recurrent(base.Model):
    """Layers of one cell.  State: for everything a cell remembers (L,B,H), h first.

    A cell gives: `gates`, how many vectors of H its input is; `memories`, how many it remembers; `recur` and
    `recur_backward`, a pair of (rows, index, Wh, *state) -> h (T,B,H), *state after; and `whole_step`, a kernel that does
    the step of one layer over a table of words. Where Wh is not all the recurrence has, `recurrent_shapes` says so, and
    the others stand after Wh.
    """

    gates: ClassVar[int]
    memories: ClassVar[int] = 1
    whole_step: ClassVar[Callable]
    recur: ClassVar[Callable]
    recur_backward: ClassVar[Callable]

    def shapes(self):
        D, H, L, Q = self.config.embed, self.config.hidden, self.config.layers, self.gates * self.config.hidden
        above = {"Wx": (L - 1, H, Q)} if L > 1 else {}  # what a layer reads from the one below
        across = {name: (L, *shape) for name, shape in self.recurrent_shapes().items()}
        return {"E": (self.V, D), "We": (D, Q), **above, **across, "b1": (L, Q), "U": (H, self.V), "b2": (self.V,)}

    def recurrent_shapes(self):
        """name -> shape, in one layer, of what takes a step to the next."""
        return {"Wh": (self.config.hidden, self.gates * self.config.hidden)}

    def across(self, P, l):
        """The parameters of layer l's recurrence, or, given G, where their gradients go."""
        return [P[name][l] for name in self.recurrent_shapes()]

    def start(self, batch, dtype=np.float32):
        return tuple(np.zeros((self.config.layers, batch, self.config.hidden), dtype) for _ in range(self.memories))

    def forward(self, P, x, state, rng=None):
        p = self.config.dropout
        after = tuple(np.empty_like(memory) for memory in state)
        layers, y = [], None
        for l in range(self.config.layers):
            rows, index, input_cache = self.read_words(P, x, rng) if l == 0 else self.read_below(P, l, y)
            (h, *last), cell_cache = self.recur(rows, index, *self.across(P, l), *(memory[l] for memory in state))
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
            drows, *gradients = self.recur_backward((dh, *(None,) * self.memories), cell_cache)
            for total, gradient in zip(self.across(G, l), gradients, strict=False):  # what is over: the state's
                total += gradient
            if l == 0:
                self.words_backward(drows, x, input_cache, G)
            else:
                dy = self.below_backward(drows, l, input_cache, G).reshape(dy.shape)

    @property
    def has_fused_step(self):
        return self.config.layers == 1

    def fused_step(self, P, x, targets, state, scale, G):
        before = (memory[0] for memory in state)
        given = (P.E, P.We, *self.across(P, 0), P.b1[0], P.U, P.b2)
        gradients = (G.E, G.We, *self.across(G, 0), G.b1[0], G.U, G.b2)
        loss, *after = self.whole_step(x, targets, P.U.dtype.type(scale), *before, *given, *gradients)
        return loss, tuple(memory[None] for memory in after)

    def read_words(self, P, x, rng):
        """E[x] We + b1 as rows, and the index of the row that each position adds.

        Where there are fewer words than positions, every word's row is made once: a table in place of N products.
        """
        if self.reuses_rows(x, rng):
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


@kernel
def table_of(E, We, b1):
    """E We + b1: what each word adds, made once.  -> (V,Q)"""
    rows = np.empty((E.shape[0], We.shape[1]), E.dtype)
    multiply(E, We, rows, bias=b1)
    return rows


@kernel
def table_gradients(da, x, E, We, dE, dWe, db1):
    """Adds the gradients of E, We and b1, given those of what x took from the table.  da (T,B,Q or more), x (T,B)."""
    drows = np.zeros((E.shape[0], We.shape[1]), E.dtype)
    add_rows(drows, x.reshape(x.size), da.reshape(x.size, da.shape[2]))
    multiply(drows, We.T, dE, accumulate=True)
    multiply(E.T, drows, dWe, accumulate=True)
    add_up(drows, db1)


def in_order(shape):
    """The index of rows that are one for each position."""
    return np.arange(shape[0] * shape[1]).reshape(shape)
