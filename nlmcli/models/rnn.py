"""The simple recurrent network: one hidden state that every word updates, for texts of any length.

h_t = tanh(e_t We + h_{t-1} Wh + b1);   y_t = h_t U + b2.          Elman 1990
"""

import numpy as np

from nlmcli.models.base.recurrent import Config, Recurrent, add_recurrent, add_word_table_gradients, packed_for, word_table
from nlmcli.nn.cross_entropy import small_head
from nlmcli.nn.elementary import tanh
from nlmcli.nn.embedding import scatter_add
from nlmcli.nn.kernel import kernel
from nlmcli.nn.matmul import multiply, multiply_packed, pack
from nlmcli.nn.pair import pair


def elman(rows, index, Wh, h0):
    """h_t = tanh(a_t + h_{t-1} Wh), a_t = rows[index_t].  rows (R,H), index (T,B), Wh (H,H), h0 (B,H) -> h (T,B,H), h_T (B,H)."""
    T, B = index.shape
    hs = np.empty((T + 1, B, Wh.shape[0]), rows.dtype)  # hs[t] is the state before step t
    hs[0] = h0
    scan(rows, index, Wh, hs)
    return (hs[1:], hs[-1]), (len(rows), index, Wh, hs)


def elman_backward(dy, cache):
    """da_t = (dh_t + da_{t+1} Whᵀ)(1 - h_t²);  dWh = Σ_t h_{t-1}ᵀ da_t;  dh0 = da_0 Whᵀ.

    dy: dh (T,B,H) and the gradient of h_T, or None.  -> drows (R,H), dWh (H,H), dh0 (B,H)
    """
    (dh, dlast), (R, index, Wh, hs) = dy, cache
    da, dWh = np.empty_like(dh), np.zeros_like(Wh)
    dh0 = np.zeros_like(hs[0]) if dlast is None else dlast.copy()
    scan_backward(dh, Wh, hs, da, dWh, dh0)
    drows = np.zeros((R, Wh.shape[0]), dh.dtype)
    scatter_add(drows, index, da)
    return drows, dWh, dh0


@kernel
def fused_kernel(x, targets, scale, h0, E, We, Wh, b1, U, b2, dE, dWe, dWh, db1, dU, db2):
    """Forward, head and backward of one layer.  -> Σ nll, h_T (B,H)"""
    (T, B), H = x.shape, Wh.shape[0]
    hs = np.empty((T + 1, B, H), E.dtype)
    hs[0] = h0
    scan(word_table(E, We, b1), x, Wh, hs)
    loss, dh = small_head(hs[1:].reshape(T * B, H), U, b2, targets, scale, dU, db2)
    da, carry = np.empty((T, B, H), E.dtype), np.zeros((B, H), E.dtype)
    scan_backward(dh.reshape(T, B, H), Wh, hs, da, dWh, carry)
    add_word_table_gradients(da, x, E, We, dE, dWe, db1)
    return loss, hs[T].copy()


class RNN(Recurrent):
    """h_t = tanh(e_t We + h_{t-1} Wh + b1).  State: h of every layer (L,B,H)."""

    Config = Config
    num_gates = 1
    lr_scale = 5.5
    overfits = True
    fused_kernel = staticmethod(fused_kernel)
    recur, recur_backward = staticmethod(elman), staticmethod(elman_backward)


@kernel
def scan(rows, index, Wh, hs):
    """hs[t+1] = tanh(rows[index[t]] + hs[t] Wh)."""
    panels = packed_for(index.shape[0], Wh)
    for t in range(index.shape[0]):
        h = hs[t + 1]
        for b in range(index.shape[1]):
            h[b] = rows[index[t, b]]
        add_recurrent(hs[t], Wh, panels, h)
        for b in range(index.shape[1]):
            hb = h[b]
            for j in range(hb.size):
                hb[j] = tanh(hb[j])


@kernel
def scan_backward(dh, Wh, hs, da, dWh, carry):
    """Back-propagate from the last step to the first. carry (B,H): the gradient from the next step, finally dh0."""
    T, B, H = dh.shape
    one = Wh.dtype.type(1)
    panels = pack(Wh.T)
    for t in range(T - 1, -1, -1):
        for b in range(B):
            d, up, back, h = da[t, b], dh[t, b], carry[b], hs[t + 1, b]
            for j in range(H):
                d[j] = (up[j] + back[j]) * (one - h[j] * h[j])  # tanh' = 1 - tanh²
        multiply_packed(da[t], panels, carry)
    multiply(hs[:T].reshape(T * B, H).T, da.reshape(T * B, H), dWh, accumulate=True)


def _example(rng):
    index = np.array([[0, 4], [2, 2], [1, 0], [3, 4]])
    return rng.normal(size=(5, 3)), index, rng.normal(size=(3, 3)), rng.normal(size=(2, 3))


pair(elman, elman_backward, _example)
