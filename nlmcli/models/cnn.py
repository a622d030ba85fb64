"""Causal convolutions over time: each layer looks back twice as far as the one below, so that a few cover a whole context.

    x_t = E[x_t] We + be;   then in every layer, with its dilation d = 1, 2, 4, ...

    [f; g]_t = [x_{t-d}; x_t] W1 + b1;   z_t = tanh(f_t) σ(g_t);   s_t += z_t Ws;   x_t += z_t Wr + br

    h_t = tanh(s_t + bs);   y_t = h_t U + b2.          van den Oord et al. 2016 (WaveNet)

Zeros precede a text. Nothing reads the x that the last layer would output, so it has no Wr and br.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.models import base
from nlmcli.nn.activations import tanh, tanh_backward
from nlmcli.nn.causal import apply_gates, apply_gates_backward, convolve, convolve_backward, rows_of
from nlmcli.nn.dropout import dropout_mask
from nlmcli.nn.embedding import embedding, scatter_add
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_column_sums, linear, linear_backward
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair


@dataclass(frozen=True)
class Config(base.Config):
    """context: the number of tokens that y_t depends on, its receptive field, which determines the number of layers."""

    hidden: int = base.hidden(64)
    context: int = base.context(16, least=2)

    def dilations(self):
        """1, 2, 4, ..., the last one reduced so that they sum to context - 1: together the layers see context tokens."""
        dilations: list[int] = []
        remaining = self.context - 1
        while remaining > 0:
            dilations.append(min(2 ** len(dilations), remaining))
            remaining -= dilations[-1]
        return np.array(dilations)


def gated_layers(x, before, dilations, W1, b1, Wr, br, Ws, bs, keep=None):
    """s = Σ_l z_l Ws_l + bs, and the last d rows that each layer read, which are the next call's before.

    x (T,B,C), before (Σd,B,C), dilations (L,), W1 (L,2C,2C), b1 (L,2C), Wr (L-1,C,C), br (L-1,C), Ws (L,C,H), bs (H,);
    keep (L,T,B,C): dropout mask of z -> s (T,B,H), after (Σd,B,C)
    """
    (T, B, C), L, N = x.shape, len(W1), x.shape[0] * x.shape[1]
    rows = np.empty((L * N + before.size // C, C), x.dtype)  # the input of each layer in turn, preceded by its rows of before
    gates, z = np.empty((L, N, 2 * C), x.dtype), np.empty((L, N, C), x.dtype)
    s, after = np.empty((T, B, bs.size), x.dtype), np.empty_like(before)
    keep = None if keep is None else keep.reshape(z.shape)
    given = dilations * B, (W1, b1, Wr, br, Ws, bs), keep
    forward(rows_of(x), rows_of(before), *given, rows, gates, z, rows_of(s), rows_of(after))
    return (s, after), (x.shape, *given, rows, gates, z)


def gated_layers_backward(dy, cache):
    """Back-propagate from the last layer to the first.  dy: ds (T,B,H) and the gradient of after, or None.

    -> dx (T,B,C), dbefore (Σd,B,C), dW1, db1, dWr, dbr, dWs, dbs
    """
    (ds, dafter), (shape, spans, weights, *saved) = dy, cache
    dx, gradients = np.empty(shape, ds.dtype), tuple(map(np.zeros_like, weights))
    dbefore = np.zeros((spans.sum() // shape[1], *shape[1:]), ds.dtype) if dafter is None else dafter.copy()
    backward(rows_of(ds), spans, weights, *saved, rows_of(dx), rows_of(dbefore), gradients)
    return dx, dbefore, *gradients


class CNN(base.Model):
    """State: the last d rows that each layer read, layer by layer (context - 1, B, H)."""

    Config = Config
    lr_scale = 10.0
    shard_columns = 8

    def shapes(self):
        D, H, L = self.config.embed, self.config.hidden, len(self.config.dilations())
        between = {"Wr": (L - 1, H, H), "br": (L - 1, H)} if L > 1 else {}
        layers = {"W1": (L, 2 * H, 2 * H), "b1": (L, 2 * H), **between, "Ws": (L, H, H), "bs": (H,)}
        return {**self.embedding_shapes(), "We": (D, H), "be": (H,), **layers, **self.output_shapes(H)}

    def start(self, batch, dtype=np.float32):
        return (np.zeros((self.config.context - 1, batch, self.config.hidden), dtype),)

    def layers(self, P) -> tuple[Any, Any, Any, Any, Any, Any]:
        """W1, b1, Wr, br, Ws, bs; Wr and br are empty for a single layer."""
        single = len(P.Ws) == 1
        return P.W1, P.b1, *((P.Ws[1:], P.Ws[1:, 0]) if single else (P.Wr, P.br)), P.Ws, P.bs

    def forward(self, P, x, state, rng=None):
        e, _ = embedding(P.E, x)
        rows, input_cache = linear(rows_of(e), P.We, P.be)
        keep = dropout_mask((len(P.Ws), *x.shape, self.config.hidden), self.config.dropout, rng, P.E.dtype)
        (before,) = state
        (s, after), layers_cache = gated_layers(rows.reshape(*x.shape, -1), before, self.config.dilations(), *self.layers(P), keep=keep)
        h, tanh_cache = tanh(s)
        y, projection_cache = self.project(P, h)
        return y, (after,), (x, input_cache, layers_cache, tanh_cache, projection_cache)

    def backward(self, dh, cache, G):
        x, input_cache, layers_cache, tanh_cache, projection_cache = cache
        dh = self.project_backward(dh, projection_cache, G)
        (ds,) = tanh_backward(dh, tanh_cache)
        drows, _, *gradients = gated_layers_backward((ds, None), layers_cache)
        for total, gradient in zip(self.layers(G), gradients, strict=True):
            total += gradient
        de, dWe, dbe = linear_backward(rows_of(drows), input_cache)
        G.We += dWe
        G.be += dbe
        scatter_add(G.E, x, de)


@kernel
def forward(x, before, spans, weights, keep, rows, gates, z, s, after):
    """spans (L,): d B, how many rows a layer looks back. Writes the arrays that follow keep."""
    W1, b1, Wr, br, Ws, bs = weights
    N, L = x.shape[0], spans.size
    s[:] = bs
    at, tail = 0, 0  # where the rows of a layer start, in rows and in before
    rows[spans[0] : spans[0] + N] = x
    for l in range(L):
        read, here = rows[at : at + spans[l] + N], slice(tail, tail + spans[l])
        read[: spans[l]] = before[here]
        after[here] = read[N:]
        convolve(read, W1[l], b1[l], gates[l])
        apply_gates(gates[l], z[l])
        if keep is not None:
            apply_mask(z[l], keep[l])
        multiply(z[l], Ws[l], s, accumulate=True)
        at, tail = at + spans[l] + N, tail + spans[l]
        if l + 1 < L:
            above = rows[at + spans[l + 1] : at + spans[l + 1] + N]
            multiply(z[l], Wr[l], above, bias=br[l])
            add(above, read[spans[l] :])


@kernel
def backward(ds, spans, weights, keep, rows, gates, z, dx, dbefore, gradients):
    """Write dx (N,C) and add to the gradients. dbefore: the gradient of after is replaced by that of before."""
    W1, _, Wr, _, Ws, _ = weights
    dW1, db1, dWr, dbr, dWs, dbs = gradients
    N, L = ds.shape[0], spans.size
    add_column_sums(ds, dbs)
    da, dz = np.empty(gates[0].shape, ds.dtype), np.empty(z[0].shape, ds.dtype)
    at, tail = rows.shape[0], dbefore.shape[0]
    for l in range(L - 1, -1, -1):
        at, tail = at - spans[l] - N, tail - spans[l]
        read, here = rows[at : at + spans[l] + N], slice(tail, tail + spans[l])
        drows = np.zeros(read.shape, ds.dtype)
        drows[N:] = dbefore[here]
        multiply(ds, Ws[l].T, dz)
        multiply(z[l].T, ds, dWs[l], accumulate=True)
        if l + 1 < L:  # dx is the gradient of what the layer above read
            multiply(dx, Wr[l].T, dz, accumulate=True)
            multiply(z[l].T, dx, dWr[l], accumulate=True)
            add_column_sums(dx, dbr[l])
            add(drows[spans[l] :], dx)
        if keep is not None:
            apply_mask(dz, keep[l])
        da[:] = gates[l]
        apply_gates_backward(dz, da)
        convolve_backward(da, read, W1[l], drows, dW1[l], db1[l])
        dx[:] = drows[spans[l] :]
        dbefore[here] = drows[: spans[l]]


@kernel
def add(to, rows):
    """to += rows."""
    for k in range(to.shape[0]):
        a, b = to[k], rows[k]
        for j in range(a.size):
            a[j] += b[j]


@kernel
def apply_mask(z, keep):
    """z *= keep."""
    for k in range(z.shape[0]):
        a, b = z[k], keep[k]
        for j in range(a.size):
            a[j] *= b[j]


def _example(rng):
    dilations, shapes = np.array([1, 2]), [(5, 2, 3), (3, 2, 3), (2, 6, 6), (2, 6), (1, 3, 3), (1, 3), (2, 3, 4), (4,)]
    x, before, *weights = (rng.normal(size=shape) for shape in shapes)
    return x, before, dilations, *weights, None


pair(gated_layers, gated_layers_backward, _example)
