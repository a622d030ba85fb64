"""Causal scaled dot-product attention: each position attends to itself and to the positions before it.

    a_ij = q_i · k_j / √d for j <= i;   p_i = softmax(a_i);   o_i = Σ_j p_ij v_j          Vaswani et al. 2017

Each head has its own d columns of q, k and v. A text is read in blocks of n positions, and no position attends to an
earlier block. A segment may start within a block; the keys and values of the part of the block before it are passed in
as the cache `past`.
"""

import numpy as np

from nlmcli.nn.dropout import RepeatingPhilox, dropout_mask_or_empty
from nlmcli.nn.elementary import dot, exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair

QUERIES = 32  # rows of a matrix product, which computes up to QUERIES - 1 masked columns per row in vain


def attention(qkv, heads, past, p=0.0, rng=None):
    """The outputs o of all heads, concatenated.  p, rng: dropout probability of the attention weights, and its generator.

    qkv (B,T,3D): q, k and v, concatenated.  past: keys and values of the block so far (B,n,D), and how many of its n
    positions each text has filled (B,); no gradient flows into them.  -> o (B,T,D)
    """
    (B, T, width), n = qkv.shape, past[0].shape[1]
    out, prob = np.empty((B, T, width // 3), qkv.dtype), np.empty((B, heads, T, n), qkv.dtype)
    keep = dropout_mask_or_empty(prob.shape, p, rng, qkv.dtype)
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
    """prob (B,heads,T,n): p, by position in the block.  used: p after dropout, or p itself if keep is empty."""
    B, heads, T, n = prob.shape
    D, d = out.shape[2], out.shape[2] // heads
    scale = out.dtype.type(1 / np.sqrt(d))
    for b in range(B):
        start, known = 0, filled[b]
        if T == 1 and keep.size == 0:
            attend_from_one(qkv[b, 0], past_k[b], past_v[b], known, scale, prob[b, :, 0], out[b, 0])
            continue
        while start < T:
            stop = min(T, start + n - known)
            for h in range(heads):
                rows, columns = slice(start, stop), slice(h * d, (h + 1) * d)
                q, k, v = qkv[b, rows, columns], qkv[b, rows, D:][:, columns], qkv[b, rows, 2 * D :][:, columns]
                p, a = prob[b, h, rows], used[b, h, rows]
                causal_scores(q, k, past_k[b, :known, columns], p)
                causal_softmax(p, known, scale)
                if keep.size > 0:
                    apply_mask(p, keep[b, h, rows], a, known)
                causal_sum(a, v, past_v[b, :known, columns], out[b, rows, columns])
            start, known = stop, 0


@kernel
def attend_from_one(qkv, past_k, past_v, known, scale, prob, out):
    """`attend` from one position, as in generation: products of matrices would be of single rows.  qkv (3D,), prob (heads,n)"""
    D, heads = out.size, prob.shape[0]
    d = D // heads
    for h in range(heads):
        columns, p = slice(h * d, (h + 1) * d), prob[h][: known + 1]
        q, k, v, o = qkv[columns], qkv[D:][columns], qkv[2 * D :][columns], out[columns]
        for j in range(known):
            p[j] = dot(q, past_k[j][columns])
        p[known] = dot(q, k)
        softmax_row(p, scale)
        for i in range(d):
            o[i] = p[known] * v[i]
        add_rows(p[:known], past_v, columns, o)


@kernel
def add_rows(p, V, columns, out):
    """out += Σ_j p_j V_j.  Four rows at a time, which loads and stores out once.  p (n,), V (n or more, D), out (d,)"""
    whole = p.size // 4 * 4
    for j in range(0, whole, 4):
        a, b, c, d = V[j][columns], V[j + 1][columns], V[j + 2][columns], V[j + 3][columns]
        pa, pb, pc, pd = p[j], p[j + 1], p[j + 2], p[j + 3]
        for i in range(out.size):
            out[i] += pa * a[i] + pb * b[i] + pc * c[i] + pd * d[i]
    for j in range(whole, p.size):
        row = V[j][columns]
        for i in range(out.size):
            out[i] += p[j] * row[i]


@kernel
def attend_backward(do, qkv, past_k, past_v, filled, keep, prob, used, dqkv):
    B, heads, T, n = prob.shape
    D, d = do.shape[2], do.shape[2] // heads
    scale = do.dtype.type(1 / np.sqrt(d))
    buffer = np.empty((T, n), do.dtype)
    for b in range(B):
        start, known = 0, filled[b]
        while start < T:
            stop = min(T, start + n - known)
            for h in range(heads):
                rows, columns = slice(start, stop), slice(h * d, (h + 1) * d)
                q, k, v = qkv[b, rows, columns], qkv[b, rows, D:][:, columns], qkv[b, rows, 2 * D :][:, columns]
                dq, dk, dv = dqkv[b, rows, columns], dqkv[b, rows, D:][:, columns], dqkv[b, rows, 2 * D :][:, columns]
                up, da = do[b, rows, columns], buffer[rows]
                causal_scores(up, v, past_v[b, :known, columns], da)
                if keep.size > 0:
                    apply_mask(da, keep[b, h, rows], da, known)
                causal_softmax_backward(da, prob[b, h, rows], known, scale)
                causal_sum(da, k, past_k[b, :known, columns], dq)
                causal_sum_transposed(da, q, known, dk)
                causal_sum_transposed(used[b, h, rows], up, known, dv)
            start, known = stop, 0


@kernel
def causal_scores(q, k, past, a):
    """a_ij = q_i · k_j for all j that i attends to.  q, k (m,d), past (known,d), a (m, known + m or more)."""
    m, known = q.shape[0], past.shape[0]
    for i in range(0, m, QUERIES):
        last = min(m, i + QUERIES)
        if known > 0:
            multiply(q[i:last], past.T, a[i:last, :known])
        multiply(q[i:last], k[:last].T, a[i:last, known : known + last])


@kernel
def causal_sum(p, v, past, out):
    """out_i = Σ_{j <= i} p_ij v_j.  p_ij is 0 for the masked j > i."""
    m, known = v.shape[0], past.shape[0]
    for i in range(0, m, QUERIES):
        last = min(m, i + QUERIES)
        if known > 0:
            multiply(p[i:last, :known], past, out[i:last])
        multiply(p[i:last, known : known + last], v[:last], out[i:last], accumulate=known > 0)


@kernel
def causal_sum_transposed(p, q, known, out):
    """out_j = Σ_{i >= j} p_ij q_i."""
    m = q.shape[0]
    for j in range(0, m, QUERIES):
        last = min(m, j + QUERIES)
        multiply(p[j:, known + j : known + last].T, q[j:], out[j:last])


@kernel
def row_width(i, m, known):
    """The number of columns that the products compute for row i of m."""
    return known + min(m, (i // QUERIES + 1) * QUERIES)


@kernel
def causal_softmax(a, known, scale):
    """p_i = softmax(scale a_i) over the positions that i attends to; 0 in the masked columns that the products computed."""
    for i in range(a.shape[0]):
        row = a[i][: row_width(i, a.shape[0], known)]
        row[known + i + 1 :] = -np.inf
        softmax_row(row, scale)


@kernel
def softmax_row(row, scale):
    """row = softmax(scale row)."""
    top = largest(row)
    for j in range(row.size):
        row[j] = exp((row[j] - top) * scale)
    share = row.dtype.type(1) / total(row)
    for j in range(row.size):
        row[j] *= share


@kernel
def causal_softmax_backward(dp, prob, known, scale):
    """Replace dp_i by scale p_i (dp_i - p_i · dp_i)."""
    for i in range(dp.shape[0]):
        width = row_width(i, dp.shape[0], known)
        d, p = dp[i][:width], prob[i][:width]
        mean = dot(d, p)
        for j in range(width):
            d[j] = scale * p[j] * (d[j] - mean)


@kernel
def apply_mask(p, keep, out, known):
    """out = p keep."""
    for i in range(p.shape[0]):
        for j in range(row_width(i, p.shape[0], known)):
            out[i, j] = p[i, j] * keep[i, j]


def _example(rng):
    past = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 4, 6)), np.array([2, 0])  # the first text's block ends within the segment
    return rng.normal(size=(2, 5, 18)), 2, past, 0.3, RepeatingPhilox(0)


pair(attention, attention_backward, _example)
