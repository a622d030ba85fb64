"""Causal attention: every position asks all before it, and itself, and takes from each as much as its key answers.

    a_ij = q_i · k_j / √d for j <= i;   p_i = softmax(a_i);   o_i = Σ_j p_ij v_j          Vaswani et al. 2017

Heads do so side by side, each on its own d columns of q, k and v. A text is read in blocks of n positions: what is
before a block is not seen from within it. Of the block in which a batch begins, each text may have read a part before,
whose keys and values are given.
"""

import numpy as np

from nlmcli.nn.dropout import Again, kept_or_empty
from nlmcli.nn.elementary import dot, exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair

QUERIES = 32  # rows of a product: of the columns that a row may not see, it has less than so many too many


def attention(qkv, heads, past, p=0.0, rng=None):
    """o of all heads side by side.  p, rng: dropout of the probabilities, drawn by a generator.

    qkv (B,T,3D): q, k and v side by side.  past: the block so far, as keys and values (B,n,D) and how many of the n
    positions each text has filled (B,); no gradient goes back there.  -> o (B,T,D)
    """
    (B, T, width), n = qkv.shape, past[0].shape[1]
    out, prob = np.empty((B, T, width // 3), qkv.dtype), np.empty((B, heads, T, n), qkv.dtype)
    keep = kept_or_empty(prob.shape, p, rng, qkv.dtype)
    used = np.empty_like(prob) if keep.size else prob
    attend(qkv, *past, keep, prob, used, out)
    return out, (qkv, past, keep, prob, used)


def attention_backward(do, cache):
    """dv_j = Σ_i p_ij do_i;  dp_ij = do_i · v_j;  da_i = p_i (dp_i - p_i · dp_i);  dq = da K / √d;  dk = daᵀ Q / √d."""
    qkv, past, keep, prob, used = cache
    dqkv = np.empty_like(qkv)
    attend_backward(do, qkv, *past, keep, prob, used, dqkv)
    return (dqkv,)


@kernel
def attend(qkv, past_k, past_v, filled, keep, prob, used, out):
    """prob (B,heads,T,n): p, by position in the block.  used: p after dropout, or p itself where keep is empty."""
    B, heads, T, n = prob.shape
    D, d = out.shape[2], out.shape[2] // heads
    scale = out.dtype.type(1 / np.sqrt(d))
    for b in range(B):
        start, known = 0, filled[b]
        while start < T:
            stop = min(T, start + n - known)
            for h in range(heads):
                some, part = slice(start, stop), slice(h * d, (h + 1) * d)
                q, k, v = qkv[b, some, part], qkv[b, some, D:][:, part], qkv[b, some, 2 * D :][:, part]
                p, a = prob[b, h, some], used[b, h, some]
                compare(q, k, past_k[b, :known, part], p)
                to_probabilities(p, known, scale)
                if keep.size > 0:
                    drop(p, keep[b, h, some], a, known)
                collect(a, v, past_v[b, :known, part], out[b, some, part])
            start, known = stop, 0


@kernel
def attend_backward(do, qkv, past_k, past_v, filled, keep, prob, used, dqkv):
    B, heads, T, n = prob.shape
    D, d = do.shape[2], do.shape[2] // heads
    scale = do.dtype.type(1 / np.sqrt(d))
    room = np.empty((T, n), do.dtype)
    for b in range(B):
        start, known = 0, filled[b]
        while start < T:
            stop = min(T, start + n - known)
            for h in range(heads):
                some, part = slice(start, stop), slice(h * d, (h + 1) * d)
                q, k, v = qkv[b, some, part], qkv[b, some, D:][:, part], qkv[b, some, 2 * D :][:, part]
                dq, dk, dv = dqkv[b, some, part], dqkv[b, some, D:][:, part], dqkv[b, some, 2 * D :][:, part]
                up, da = do[b, some, part], room[some]
                compare(up, v, past_v[b, :known, part], da)
                if keep.size > 0:
                    drop(da, keep[b, h, some], da, known)
                to_score_gradients(da, prob[b, h, some], known, scale)
                collect(da, k, past_k[b, :known, part], dq)
                hand_out(da, q, known, dk)
                hand_out(used[b, h, some], up, known, dv)
            start, known = stop, 0


@kernel
def compare(q, k, past, a):
    """a_ij = q_i · k_j for all j that i may see.  q, k (m,d), past (known,d), a (m, known + m or more)."""
    m, known = q.shape[0], past.shape[0]
    for i in range(0, m, QUERIES):
        last = min(m, i + QUERIES)
        if known > 0:
            multiply(q[i:last], past.T, a[i:last, :known])
        multiply(q[i:last], k[:last].T, a[i:last, known : known + last])


@kernel
def collect(p, v, past, out):
    """out_i = Σ_{j <= i} p_ij v_j.  p_ij is 0 for the j that i may not see."""
    m, known = v.shape[0], past.shape[0]
    for i in range(0, m, QUERIES):
        last = min(m, i + QUERIES)
        if known > 0:
            multiply(p[i:last, :known], past, out[i:last])
        multiply(p[i:last, known : known + last], v[:last], out[i:last], accumulate=known > 0)


@kernel
def hand_out(p, q, known, out):
    """out_j = Σ_{i >= j} p_ij q_i."""
    m = q.shape[0]
    for j in range(0, m, QUERIES):
        last = min(m, j + QUERIES)
        multiply(p[j:, known + j : known + last].T, q[j:], out[j:last])


@kernel
def width_of(i, m, known):
    """How many columns the products make of row i of m."""
    return known + min(m, (i // QUERIES + 1) * QUERIES)


@kernel
def to_probabilities(a, known, scale):
    """p_i = softmax(scale a_i) over what i may see; the rest of what the products made becomes 0."""
    one = a.dtype.type(1)
    for i in range(a.shape[0]):
        row = a[i][: width_of(i, a.shape[0], known)]
        row[known + i + 1 :] = -np.inf
        top = largest(row)
        for j in range(row.size):
            row[j] = exp((row[j] - top) * scale)
        share = one / total(row)
        for j in range(row.size):
            row[j] *= share


@kernel
def to_score_gradients(dp, prob, known, scale):
    """dp_i becomes scale p_i (dp_i - p_i · dp_i)."""
    for i in range(dp.shape[0]):
        width = width_of(i, dp.shape[0], known)
        d, p = dp[i][:width], prob[i][:width]
        mean = dot(d, p)
        for j in range(width):
            d[j] = scale * p[j] * (d[j] - mean)


@kernel
def drop(p, keep, out, known):
    """out = p keep."""
    for i in range(p.shape[0]):
        for j in range(width_of(i, p.shape[0], known)):
            out[i, j] = p[i, j] * keep[i, j]


def _example(rng):
    past = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 4, 6)), np.array([2, 0])  # the first text's block ends within
    return rng.normal(size=(2, 5, 18)), 2, past, 0.3, Again(0)


pair(attention, attention_backward, _example)
