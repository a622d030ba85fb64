"""The gated recurrent unit: a hidden state whose gates decide what it keeps, with fewer gates than an LSTM.

    [r; z] = σ(e_t We + h_{t-1} Wh + b1);   q = h_{t-1} Wh + bn;   n = tanh(e_t We + b1 + r q)
    h_t = (1 - z) n + z h_{t-1};   y_t = h_t U + b2.

Cho et al. 2014, with r applied after the product, as PyTorch computes it. We, Wh and b1 are the concatenated blocks of
r, z and n; q is the part of n that depends on the state.
"""

import numpy as np

from nlmcli.models.base.recurrent import Config, Recurrent, add_recurrent, add_word_table_gradients, packed_for, word_table
from nlmcli.nn.cross_entropy import small_head
from nlmcli.nn.elementary import sigmoid, tanh
from nlmcli.nn.embedding import scatter_add_rows
from nlmcli.nn.kernel import kernel
from nlmcli.nn.matmul import multiply, multiply_packed, pack
from nlmcli.nn.pair import pair


def gru(rows, index, Wh, bn, h0):
    """h_t = (1 - z) n + z h_{t-1}, from rows[index_t] and h_{t-1} Wh.

    rows (R,3H), index (T,B), Wh (H,3H), bn (H,), h0 (B,H) -> h (T,B,H), h_T (B,H)
    """
    T, B = index.shape
    hs = np.empty((T + 1, B, len(Wh)), rows.dtype)  # hs[t] is the state before step t
    gates = np.empty((T, B, 4 * len(Wh)), rows.dtype)
    hs[0] = h0
    scan(rows, index, Wh, bn, gates, hs)
    return (hs[1:], hs[-1]), (len(rows), index, Wh, gates, hs)


def gru_backward(dy, cache):
    """Back-propagate through the gates, from the last step to the first, and sum the gradients.

    dy: dh (T,B,H) and the gradient of h_T, or None.  -> drows (R,3H), dWh (H,3H), dbn (H,), dh0 (B,H)
    """
    (dh, dlast), (R, index, Wh, gates, hs) = dy, cache
    dh0 = np.zeros_like(hs[0]) if dlast is None else dlast.copy()
    da, dWh, dbn = gates.copy(), np.zeros_like(Wh), np.zeros(len(Wh), Wh.dtype)
    scan_backward(dh, Wh, da, hs, dWh, dbn, dh0)
    drows = np.zeros((R, Wh.shape[1]), dh.dtype)
    scatter_add_rows(drows, index.reshape(-1), da.reshape(index.size, -1))
    return drows, dWh, dbn, dh0


@kernel
def fused_kernel(x, targets, scale, h0, E, We, Wh, bn, b1, U, b2, dE, dWe, dWh, dbn, db1, dU, db2):
    """Forward, head and backward of one layer.  -> Σ nll, h_T (B,H)"""
    (T, B), H = x.shape, Wh.shape[0]
    hs, gates = np.empty((T + 1, B, H), E.dtype), np.empty((T, B, 4 * H), E.dtype)
    hs[0] = h0
    scan(word_table(E, We, b1), x, Wh, bn, gates, hs)
    loss, dh = small_head(hs[1:].reshape(T * B, H), U, b2, targets, scale, dU, db2)
    carry = np.zeros((B, H), E.dtype)
    scan_backward(dh.reshape(T, B, H), Wh, gates, hs, dWh, dbn, carry)
    add_word_table_gradients(gates, x, E, We, dE, dWe, db1)
    return loss, hs[T].copy()


class GRU(Recurrent):
    """h_t = (1 - z) n + z h_{t-1}.  State: h of every layer (L,B,H)."""

    Config = Config
    num_gates = 3
    lr_scale = 10.0
    overfits = True
    fused_kernel = staticmethod(fused_kernel)
    recur, recur_backward = staticmethod(gru), staticmethod(gru_backward)

    def recurrent_shapes(self):
        return super().recurrent_shapes() | {"bn": (self.config.hidden,)}


@kernel
def scan(rows, index, Wh, bn, gates, hs):
    """gates[t] = [r; z; q; n] and hs[t+1], from rows[index[t]] and hs[t]."""
    H = bn.size
    panels = packed_for(index.shape[0], Wh)
    for t in range(index.shape[0]):
        for b in range(index.shape[1]):
            gate, row = gates[t, b], rows[index[t, b]]
            gate[: 2 * H], gate[2 * H : 3 * H], gate[3 * H :] = row[: 2 * H], bn, row[2 * H :]
        add_recurrent(hs[t], Wh, panels, gates[t][:, : 3 * H])
        for b in range(index.shape[1]):
            cell(gates[t, b], hs[t, b], hs[t + 1, b])


@kernel
def cell(a, h_before, h):
    """One step of one text. a (4H,): the pre-activations of r, z and n become the gates; q stays as it is."""
    H = h.size
    one = a.dtype.type(1)
    r, z, q, n = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]
    for j in range(H):
        r[j], z[j] = sigmoid(r[j]), sigmoid(z[j])
        n[j] = tanh(n[j] + r[j] * q[j])
    for j in range(H):
        h[j] = (one - z[j]) * n[j] + z[j] * h_before[j]


@kernel
def scan_backward(dh, Wh, gates, hs, dWh, dbn, carry):
    """Back-propagate from the last step to the first; add to dWh and dbn, and turn the gates into [dr; dz; dn; dn].

    The state's product has the gradient [dr; dz; dq], the input's [dr; dz; dn]; dn replaces dq once dq is used.
    carry (B,H): the gradient from the next step, finally dh0.
    """
    T, B, H = dh.shape
    panels = pack(Wh.T)
    for t in range(T - 1, -1, -1):
        for b in range(B):
            back, up = carry[b], dh[t, b]
            for j in range(H):
                back[j] += up[j]
            cell_backward(gates[t, b], hs[t, b], back)
        multiply_packed(gates[t][:, : 3 * H], panels, carry, accumulate=True)
    flat = gates.reshape(T * B, 4 * H)
    multiply(hs[:T].reshape(T * B, H).T, flat[:, : 3 * H], dWh, accumulate=True)
    for k in range(T * B):
        dq, dn = flat[k][2 * H : 3 * H], flat[k][3 * H :]
        for j in range(H):
            dbn[j] += dq[j]
            dq[j] = dn[j]


@kernel
def cell_backward(gate, h_before, dh):
    """Replace each gate by its gradient: σ' = σ (1 - σ), tanh' = 1 - tanh²; dh is multiplied by z.

    dz = dh (h_{t-1} - n) z (1 - z);   dn = dh (1 - z) (1 - n²);   dr = dn q r (1 - r);   dq = dn r
    """
    H = dh.size
    one = gate.dtype.type(1)
    r, z, q, n = gate[:H], gate[H : 2 * H], gate[2 * H : 3 * H], gate[3 * H :]
    for j in range(H):
        zj, nj = z[j], n[j]
        z[j] = dh[j] * (h_before[j] - nj) * zj * (one - zj)
        n[j] = dh[j] * (one - zj) * (one - nj * nj)
        dh[j] *= zj
    for j in range(H):
        rj, qj = r[j], q[j]
        r[j] = n[j] * qj * rj * (one - rj)
        q[j] = n[j] * rj


def _example(rng):
    index = np.array([[0, 4], [2, 2], [1, 0], [3, 4]])
    return rng.normal(size=(5, 9)), index, rng.normal(size=(3, 9)), rng.normal(size=3), rng.normal(size=(2, 3))


pair(gru, gru_backward, _example)
