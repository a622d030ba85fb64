"""What simple recurrent networks, LSTM and GRU have in common: embeddings, layers of one recurrent cell, dropout between them.

    a_t = x_t Wx + b1;   h_t = cell(a_t, h_{t-1});   the h of one layer are the x of the next
    y_t = h_t U + b2;   if tied, y_t = h_t Wp Eᵀ + b2, without the projection Wp if h is as wide as E

Dropout is drawn for every time step or, if variational, once for all steps of a segment; whole words and entries of the
recurrent matrix may be dropped too.  Gal & Ghahramani 2016, Merity, Keskar & Socher 2018 (weight drop)

Trained by truncated back-propagation through time (Williams & Peng 1990): no gradient flows into the state before the
segment's first step. Tied embeddings: Press & Wolf 2017, Inan et al. 2017.
A cell's file has its equations, its pair of functions and its kernels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nlmcli.models import base
from nlmcli.nn.dropout import dropout, dropout_backward, word_dropout, word_dropout_backward
from nlmcli.nn.embedding import embedding, scatter_add, scatter_add_rows
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_column_sums, linear, linear_backward
from nlmcli.nn.matmul import multiply, multiply_packed, pack
from nlmcli.options import ADVANCED, option

DROPOUT_KIND = "Dropout masks: {names}; variational: the same at every time step of a segment."


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int = base.hidden(256)
    layers: int = base.layers(1)
    dropout_kind: str = option("standard", DROPOUT_KIND, "NAME", panel=ADVANCED, choices=lambda: ("standard", "variational"))
    dropout_words: float = option(0.0, "Probability of dropping a whole word from the embeddings.", "P", panel=ADVANCED, least=0, below=1)
    dropout_recurrent: float = option(
        0.0, "Probability of dropping an entry of the recurrent matrix.", "P", panel=ADVANCED, least=0, below=1
    )


class Recurrent(base.Model):
    """Layers of one cell.  State: (L,B,H) for each array of the cell's state, h first.

    A cell defines `num_gates`, the number of vectors of H in its input; `num_states`, that in its state; `recur` and
    `recur_backward`, a pair of (rows, index, Wh, *state) -> h (T,B,H), *state after; and `fused_kernel`, the training step
    of one layer with a table of words. If the recurrence has other parameters than Wh, `recurrent_shapes` lists them, and
    they follow Wh in the arguments.
    """

    shard_columns = 8
    num_gates: ClassVar[int]
    num_states: ClassVar[int] = 1
    fused_kernel: ClassVar[Callable]
    recur: ClassVar[Callable]
    recur_backward: ClassVar[Callable]

    def shapes(self):
        D, H, L, Q = self.config.embed, self.config.hidden, self.config.layers, self.num_gates * self.config.hidden
        above = {"Wx": (L - 1, H, Q)} if L > 1 else {}  # what a layer reads the one below through
        recurrent = {name: (L, *shape) for name, shape in self.recurrent_shapes().items()}
        return {**self.embedding_shapes(), "We": (D, Q), **above, **recurrent, "b1": (L, Q), **self.output_shapes(H)}

    def recurrent_shapes(self):
        """name -> shape, in one layer, of the parameters of the recurrence."""
        return {"Wh": (self.config.hidden, self.num_gates * self.config.hidden)}

    def recurrent_parameters(self, P, l):
        """The parameters of layer l's recurrence; given G, the arrays of their gradients."""
        return [P[name][l] for name in self.recurrent_shapes()]

    @property
    def is_random(self):
        c = self.config
        return c.dropout > 0 or c.dropout_words > 0 or c.dropout_recurrent > 0

    def start(self, batch, dtype=np.float32):
        return tuple(np.zeros((self.config.layers, batch, self.config.hidden), dtype) for _ in range(self.num_states))

    def forward(self, P, x, state, rng=None):
        after = tuple(np.empty_like(memory) for memory in state)
        layers: list[Any] = []
        y: Any = None
        for l in range(self.config.layers):
            rows, index, input_cache = self.read_words(P, x, rng) if l == 0 else self.read_below(P, l, y)
            parameters, kept = self.dropped(self.recurrent_parameters(P, l), rng)
            (h, *last), cell_cache = self.recur(rows, index, *parameters, *(memory[l] for memory in state))
            for memory, value in zip(after, last, strict=True):
                memory[l] = value
            y, keep = self.drop(h, rng)
            layers.append((input_cache, cell_cache, kept, keep))
        y, projection_cache = self.project(P, y)
        return y, after, (x, layers, projection_cache)

    def backward(self, dy, cache, G):
        x, layers, projection_cache = cache
        dy = self.project_backward(dy, projection_cache, G)
        for l in reversed(range(len(layers))):
            input_cache, cell_cache, kept, keep = layers[l]
            (dh,) = dropout_backward(dy, keep)
            drows, *gradients = self.recur_backward((dh, *(None,) * self.num_states), cell_cache)
            (gradients[0],) = dropout_backward(gradients[0], kept)
            for total, gradient in zip(self.recurrent_parameters(G, l), gradients, strict=False):  # the rest: gradients of the state
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
        parameters = (P.E, P.We, *self.recurrent_parameters(P, 0), P.b1[0], P.U, P.b2)
        gradients = (G.E, G.We, *self.recurrent_parameters(G, 0), G.b1[0], G.U, G.b2)
        loss, *after = self.fused_kernel(x, targets, P.U.dtype.type(scale), *before, *parameters, *gradients)
        return loss, tuple(memory[None] for memory in after)

    def drop(self, x, rng):
        """Dropout of x (T,B,N)."""
        return dropout(x, self.config.dropout, rng, self.config.dropout_kind == "variational")

    def dropped(self, parameters, rng):
        """The parameters of a recurrence with dropout of its matrix, which comes first, and the mask."""
        Wh, keep = dropout(parameters[0], self.config.dropout_recurrent, rng)
        return [Wh, *parameters[1:]], keep

    def uses_word_table(self, P, x, rng):
        return super().uses_word_table(P, x, rng) and not (rng and (self.config.dropout_words or self.config.dropout_recurrent))

    def read_words(self, P, x, rng):
        """E[x] We + b1 as rows, and the index of the row that each position adds.

        With fewer words than positions, the row of each word is computed once: a table in place of N products.
        """
        if self.uses_word_table(P, x, rng):
            rows, linear_cache = linear(P.E, P.We, P.b1[0])
            return rows, x, (linear_cache, None, None, True)
        e, kept_words = word_dropout(embedding(P.E, x)[0], x, len(P.E), self.config.dropout_words, rng)
        e, keep = self.drop(e, rng)
        rows, linear_cache = linear(e.reshape(x.size, -1), P.We, P.b1[0])
        return rows, position_index(x.shape), (linear_cache, kept_words, keep, False)

    def words_backward(self, drows, x, cache, G):
        linear_cache, kept_words, keep, table = cache
        de, dWe, db = linear_backward(drows, linear_cache)
        G.We += dWe
        G.b1[0] += db
        if table:
            G.E += de
        else:
            (de,) = dropout_backward(de.reshape(*x.shape, -1), keep)
            scatter_add(G.E, x, word_dropout_backward(de, kept_words)[0])

    def read_below(self, P, l, y):
        rows, linear_cache = linear(y.reshape(-1, y.shape[-1]), P.Wx[l - 1], P.b1[l])
        return rows, position_index(y.shape[:2]), linear_cache

    def below_backward(self, drows, l, linear_cache, G):
        dy, dWx, db = linear_backward(drows, linear_cache)
        G.Wx[l - 1] += dWx
        G.b1[l] += db
        return dy


@kernel
def word_table(E, We, b1):
    """E We + b1: what each word adds to the gates.  -> (V,Q)"""
    rows = np.empty((E.shape[0], We.shape[1]), E.dtype)
    multiply(E, We, rows, bias=b1)
    return rows


@kernel
def add_word_table_gradients(da, x, E, We, dE, dWe, db1):
    """Add the gradients of E, We and b1, given those of the rows that x looked up.  da (T,B,Q or more), x (T,B)."""
    drows = np.zeros((E.shape[0], We.shape[1]), E.dtype)
    scatter_add_rows(drows, x.reshape(x.size), da.reshape(x.size, da.shape[2]))
    multiply(drows, We.T, dE, accumulate=True)
    multiply(E.T, drows, dWe, accumulate=True)
    add_column_sums(drows, db1)


@kernel
def packed_for(steps, Wh):
    """The panels of a matrix that multiplies at every time step; none for a single step, which takes less time than packing."""
    return pack(Wh) if steps > 1 else np.empty((0, 0, 0), Wh.dtype)


@kernel
def add_recurrent(h, Wh, panels, a):
    """a += h Wh.  panels: of packed_for"""
    if panels.size > 0:
        multiply_packed(h, panels, a, accumulate=True)
    else:
        multiply(h, Wh, a, accumulate=True)


def position_index(shape):
    """The index of rows if each position has its own."""
    return np.arange(shape[0] * shape[1]).reshape(shape)
