"""The simple recurrent network: one state that every word changes, for texts of any length.

    h_t = tanh(e_t We + h_{t-1} Wh + b1);   y_t = h_t U + b2.          Elman 1990

More layers: the state of one is what the next one reads. Trained by back-propagation through time, cut off at the
segment's first step (Williams & Peng 1990): the state before it is taken as given.
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.models import base
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import embedding, scatter_add
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_product, linear, linear_backward
from nlmcli.nn.pair import pair


@dataclass(frozen=True)
class Config(base.Config):
    hidden: int = 256
    layers: int = 1


class RNN(base.Model):
    """h_t = tanh(e_t We + h_{t-1} Wh + b1).  State: h of every layer (L,B,H)."""

    Config = Config

    def shapes(self):
        D, H, L = self.config.embed, self.config.hidden, self.config.layers
        above = {"Wx": (L - 1, H, H)} if L > 1 else {}  # what a layer reads from the one below
        return {"E": (self.V, D), "We": (D, H), **above, "Wh": (L, H, H), "b1": (L, H), "U": (H, self.V), "b2": (self.V,)}

    def start(self, batch, dtype=np.float32):
        return (np.zeros((self.config.layers, batch, self.config.hidden), dtype),)

    def forward(self, P, x, state, rng=None):
        y, _ = embedding(P.E, x)
        y, keep = dropout(y, self.config.dropout, rng)
        layers, last = [], np.empty_like(state[0])
        for l in range(self.config.layers):
            a, linear_cache = linear(y.reshape(x.size, -1), self.input_matrix(P, l), P.b1[l])
            h, scan_cache = recur(a.reshape(*x.shape, -1), P.Wh[l], state[0][l])
            last[l] = h[-1]
            y, keep_above = dropout(h, self.config.dropout, rng)
            layers.append((linear_cache, scan_cache, keep_above))
        return y, (last,), (x, keep, layers)

    def backward(self, dy, cache, G):
        x, keep, layers = cache
        for l in reversed(range(len(layers))):
            linear_cache, scan_cache, keep_above = layers[l]
            (dh,) = dropout_backward(dy, keep_above)
            da, dWh, _ = recur_backward(dh, scan_cache)
            dy, dW, db = linear_backward(da.reshape(x.size, -1), linear_cache)
            dy = dy.reshape(*x.shape, -1)
            G.Wh[l] += dWh
            G.b1[l] += db
            self.input_matrix(G, l)[...] += dW
        (de,) = dropout_backward(dy, keep)
        scatter_add(G.E, x, de)

    @staticmethod
    def input_matrix(P, l):
        """What layer l reads its input through: We for the first, Wx for those above."""
        return P.We if l == 0 else P.Wx[l - 1]


def recur(a, Wh, h0):
    """h_t = tanh(a_t + h_{t-1} Wh).  a (T,B,H), Wh (H,H), h0 (B,H) -> h (T,B,H)."""
    hs = np.empty((len(a) + 1, *h0.shape), a.dtype)  # h_{-1} = h0 stands first: hs[t] is the state before step t
    hs[0] = h0
    scan(a, Wh, hs)
    return hs[1:], (hs, Wh)


def recur_backward(dh, cache):
    """da_t = (dh_t + da_{t+1} Whᵀ)(1 - h_t²);  dWh = Σ_t h_{t-1}ᵀ da_t;  dh0 = da_0 Whᵀ.  dh (T,B,H)."""
    hs, Wh = cache
    T, B, H = dh.shape
    da, dh0 = dh.copy(), np.zeros((B, H), dh.dtype)
    scan_backward(da, Wh, hs, dh0)
    dWh = hs[:-1].reshape(T * B, H).T @ da.reshape(T * B, H)
    return da, dWh, dh0


@kernel
def scan(a, Wh, hs):
    """hs[t+1] = tanh(a[t] + hs[t] Wh)."""
    for t in range(len(a)):
        hs[t + 1] = a[t]
        add_product(hs[t], Wh, hs[t + 1])
        hs[t + 1] = np.tanh(hs[t + 1])


@kernel
def scan_backward(da, Wh, hs, dh0):
    """da holds dh and becomes dL/da, from the last step to the first; dh0 is added to."""
    WhT = np.ascontiguousarray(Wh.T)
    for t in range(len(da) - 1, -1, -1):
        da[t] *= 1 - hs[t + 1] * hs[t + 1]  # tanh' = 1 - tanh²
        add_product(da[t], WhT, da[t - 1] if t > 0 else dh0)


def _example(rng):
    return rng.normal(size=(4, 2, 3)), rng.normal(size=(3, 3)), rng.normal(size=(2, 3))


pair(recur, recur_backward, _example)
