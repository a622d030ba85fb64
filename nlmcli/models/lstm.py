"""Long short-term memory: a cell state c that gates protect, so that information can persist for many steps.

    [i; f; g; o] = e_t We + h_{t-1} Wh + b1;   i, f, o = σ(i), σ(f), σ(o);   g = tanh(g)
    c_t = f c_{t-1} + i g;   h_t = o tanh(c_t);   y_t = h_t U + b2.

Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000, with initial bias 1, so that an untrained network remembers.
"""

import numpy as np

from nlmcli.models.base.recurrent import Config, Recurrent, add_recurrent, add_word_table_gradients, packed_for, word_table
from nlmcli.nn.cross_entropy import small_head
from nlmcli.nn.elementary import sigmoid, tanh
from nlmcli.nn.embedding import scatter_add
from nlmcli.nn.kernel import kernel
from nlmcli.nn.matmul import multiply, multiply_packed, pack
from nlmcli.nn.pair import pair


def lstm(rows, index, Wh, h0, c0):
    """c_t = f c_{t-1} + i g, h_t = o tanh(c_t), from the gates rows[index_t] + h_{t-1} Wh.

    rows (R,4H), index (T,B), Wh (H,4H), h0, c0 (B,H) -> h (T,B,H), h_T (B,H), c_T (B,H)
    """
    T, B = index.shape
    hs, cs = np.empty((2, T + 1, B, len(Wh)), rows.dtype)  # hs[t], cs[t] are the state before step t
    gates = np.empty((T, B, 4 * len(Wh)), rows.dtype)
    hs[0], cs[0] = h0, c0
    scan(rows, index, Wh, gates, hs, cs)
    return (hs[1:], hs[-1], cs[-1]), (len(rows), index, Wh, gates, hs, cs)


def lstm_backward(dy, cache):
    """Back-propagate through the gates, from the last step to the first, and sum the gradients.

    dy: dh (T,B,H) and the gradients of h_T and c_T, or None.  -> drows (R,4H), dWh (H,4H), dh0, dc0 (B,H)
    """
    (dh, *last), (R, index, Wh, gates, hs, cs) = dy, cache
    dh0, dc0 = (np.zeros_like(hs[0]) if d is None else d.copy() for d in last)
    da, dWh = gates.copy(), np.zeros_like(Wh)
    scan_backward(dh, Wh, da, hs, cs, dWh, dh0, dc0)
    drows = np.zeros((R, Wh.shape[1]), dh.dtype)
    scatter_add(drows, index, da)
    return drows, dWh, dh0, dc0


@kernel
def fused_kernel(x, targets, scale, h0, c0, E, We, Wh, b1, U, b2, dE, dWe, dWh, db1, dU, db2):
    """Forward, head and backward of one layer.  -> Σ nll, h_T (B,H), c_T (B,H)"""
    (T, B), H = x.shape, Wh.shape[0]
    hs, cs = np.empty((T + 1, B, H), E.dtype), np.empty((T + 1, B, H), E.dtype)
    hs[0], cs[0] = h0, c0
    gates = np.empty((T, B, 4 * H), E.dtype)
    scan(word_table(E, We, b1), x, Wh, gates, hs, cs)
    loss, dh = small_head(hs[1:].reshape(T * B, H), U, b2, targets, scale, dU, db2)
    dh_back, dc = np.zeros((B, H), E.dtype), np.zeros((B, H), E.dtype)
    scan_backward(dh.reshape(T, B, H), Wh, gates, hs, cs, dWh, dh_back, dc)
    add_word_table_gradients(gates, x, E, We, dE, dWe, db1)
    return loss, hs[T].copy(), cs[T].copy()


class LSTM(Recurrent):
    """State: h and c of every layer, each (L,B,H)."""

    Config = Config
    num_gates, num_states = 4, 2
    lr_scale = 10.0
    fused_kernel = staticmethod(fused_kernel)
    recur, recur_backward = staticmethod(lstm), staticmethod(lstm_backward)

    def initialize(self, rng, dtype=np.float32):
        P, H = super().initialize(rng, dtype), self.config.hidden
        P.b1[:, H : 2 * H] = 1
        return P


@kernel
def scan(rows, index, Wh, gates, hs, cs):
    """gates[t], hs[t+1], cs[t+1] from rows[index[t]], hs[t] and cs[t]."""
    panels = packed_for(index.shape[0], Wh)
    for t in range(index.shape[0]):
        for b in range(index.shape[1]):
            gates[t, b] = rows[index[t, b]]
        add_recurrent(hs[t], Wh, panels, gates[t])
        for b in range(index.shape[1]):
            cell(gates[t, b], cs[t, b], cs[t + 1, b], hs[t + 1, b])


@kernel
def cell(a, c_before, c, h):
    """One step of one text. a (4H,): the pre-activations of the gates become the gates."""
    H = h.size
    i, f, g, o = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]
    for j in range(H):
        i[j], f[j], g[j], o[j] = sigmoid(i[j]), sigmoid(f[j]), tanh(g[j]), sigmoid(o[j])
    for j in range(H):
        c[j] = f[j] * c_before[j] + i[j] * g[j]
        h[j] = o[j] * tanh(c[j])


@kernel
def scan_backward(dh, Wh, gates, hs, cs, dWh, dh_back, dc):
    """Back-propagate from the last step to the first; turn the gates into the gradients of their pre-activations, and add to dWh.

    dh_back, dc (B,H): the gradients from the next step, finally dh0, dc0.
    """
    T, B, H = dh.shape
    panels = pack(Wh.T)
    for t in range(T - 1, -1, -1):
        for b in range(B):
            back, up = dh_back[b], dh[t, b]
            for j in range(H):
                back[j] += up[j]
            cell_backward(gates[t, b], cs[t, b], cs[t + 1, b], back, dc[b])
        multiply_packed(gates[t], panels, dh_back)
    multiply(hs[:T].reshape(T * B, H).T, gates.reshape(T * B, 4 * H), dWh, accumulate=True)


@kernel
def cell_backward(gate, c_before, c, dh, dc):
    """dc += dh o (1 - tanh²c); then each gate's gradient times σ' = σ (1 - σ) or tanh' = 1 - tanh²; dc is multiplied by f.

    Each loop reads a gate before it overwrites the gate with its gradient.
    """
    H = dh.size
    one = gate.dtype.type(1)
    i, f, g, o = gate[:H], gate[H : 2 * H], gate[2 * H : 3 * H], gate[3 * H :]
    for j in range(H):
        tanh_c, oj = tanh(c[j]), o[j]
        dc[j] += dh[j] * oj * (one - tanh_c * tanh_c)
        o[j] = dh[j] * tanh_c * oj * (one - oj)
    for j in range(H):
        ij, gj = i[j], g[j]
        i[j] = dc[j] * gj * ij * (one - ij)
        g[j] = dc[j] * ij * (one - gj * gj)
    for j in range(H):
        fj = f[j]
        f[j] = dc[j] * c_before[j] * fj * (one - fj)
        dc[j] *= fj


def _example(rng):
    index = np.array([[0, 4], [2, 2], [1, 0], [3, 4]])
    return rng.normal(size=(5, 12)), index, rng.normal(size=(3, 12)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3))


pair(lstm, lstm_backward, _example)
