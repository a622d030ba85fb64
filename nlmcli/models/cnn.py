"""Causal convolutions over time: layers that look back twice as far each, so that a few of them see a whole context.

    x_t = E[x_t] We;   then layer by layer, with dilations d = 1, 2, 4, ...

    [f; g]_t = [x_{t-d}; x_t] W1 + b1;   z_t = tanh(f_t) σ(g_t);   x_t = x_t + z_t Wr + br     (z of the layer, x for the next)

    h_t = tanh([z_t of every layer] Ws + bs);   y_t = h_t U + b2.          van den Oord et al. 2016 (WaveNet)
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.errors import InputError
from nlmcli.models import base
from nlmcli.nn.activations import tanh, tanh_backward
from nlmcli.nn.causal import convolution, convolution_backward, gate, gate_backward, rows_of
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import embedding, scatter_add
from nlmcli.nn.linear import linear, linear_backward


@dataclass(frozen=True)
class Config(base.Config):
    """hidden: channels.  context: how many tokens the last layer sees; how many layers there are follows from it."""

    hidden: int = 64
    context: int = 16

    def __post_init__(self):
        if self.context < 2:
            raise InputError(f"--context {self.context} leaves model cnn nothing to look back on; give 2 or more")

    def dilations(self) -> list[int]:
        """1, 2, 4, ..., the last as much shorter as it takes for all of them to look back on context - 1 tokens."""
        out, left = [], self.context - 1
        while left > 0:
            out.append(min(2 ** len(out), left))
            left -= out[-1]
        return out


class CNN(base.Model):
    """State: what each layer read last, d rows of it, one layer's below the other's (context - 1, B, H)."""

    Config = Config

    def shapes(self):
        D, H, L = self.config.embed, self.config.hidden, len(self.config.dilations())
        between = {"Wr": (L - 1, H, H), "br": (L - 1, H)} if L > 1 else {}  # what a layer adds to the input of the next
        return {
            "E": (self.V, D),
            "We": (D, H),
            "W1": (L, 2 * H, 2 * H),
            "b1": (L, 2 * H),
            **between,
            "Ws": (L * H, H),
            "bs": (H,),
            "U": (H, self.V),
            "b2": (self.V,),
        }

    def start(self, batch, dtype=np.float32):
        return (np.zeros((self.config.context - 1, batch, self.config.hidden), dtype),)

    def forward(self, P, x, state, rng=None):
        p, last = self.config.dropout, len(P.W1) - 1
        e, keep = dropout(embedding(P.E, x)[0], p, rng)
        y, input_cache = linear(rows_of(e), P.We, np.zeros(P.We.shape[1], P.We.dtype))
        y = y.reshape(*x.shape, -1)
        zs, after, layers = [], [], []
        for l, before in enumerate(np.split(state[0], np.cumsum(self.config.dilations())[:-1])):
            (a, tail), convolution_cache = convolution(y, before, P.W1[l], P.b1[l])
            z, gates = gate(a)
            z, keep_z = dropout(z, p, rng)
            residual_cache = None
            if l < last:
                r, residual_cache = linear(rows_of(z), P.Wr[l], P.br[l])
                y = y + r.reshape(y.shape)
            zs.append(z), after.append(tail), layers.append((convolution_cache, gates, keep_z, residual_cache))
        s, skip_cache = linear(rows_of(np.concatenate(zs, axis=-1)), P.Ws, P.bs)
        h, tanh_cache = tanh(s)
        return h.reshape(*x.shape, -1), (np.concatenate(after),), (x, keep, input_cache, layers, skip_cache, tanh_cache)

    def backward(self, dh, cache, G):
        x, keep, input_cache, layers, skip_cache, tanh_cache = cache
        (ds,) = tanh_backward(rows_of(dh), tanh_cache)
        dzs, dWs, dbs = linear_backward(ds, skip_cache)
        G.Ws += dWs
        G.bs += dbs
        dy = None
        for l in reversed(range(len(layers))):
            convolution_cache, gates, keep_z, residual_cache = layers[l]
            H = dh.shape[-1]
            dz = np.ascontiguousarray(dzs[:, l * H : (l + 1) * H])
            if dy is not None:
                dmore, dWr, dbr = linear_backward(rows_of(dy), residual_cache)
                G.Wr[l] += dWr
                G.br[l] += dbr
                dz += dmore
            (dz,) = dropout_backward(dz.reshape(dh.shape), keep_z)
            (da,) = gate_backward(dz, gates)
            dx, _, dW1, db1 = convolution_backward((da, None), convolution_cache)
            G.W1[l] += dW1
            G.b1[l] += db1
            dy = dx if dy is None else dy + dx
        de, dWe, _ = linear_backward(rows_of(np.ascontiguousarray(dy)), input_cache)
        G.We += dWe
        scatter_add(G.E, x, dropout_backward(de.reshape(*x.shape, -1), keep)[0])
