"""The head fused with its loss: logits, softmax and cross-entropy by blocks of rows.

    z = h U + b2;   p = softmax(z);   L = -(1/n) Σ ln p[target];   dL/dz = (p - onehot(target)) / n

The gradient of a block of logits overwrites the logits and is used at once, so all (N, V) logits are never in memory.
A target below 0 is padding: it has no loss and no gradient.
"""

import math

import numpy as np

from nlmcli.nn.draw import draw
from nlmcli.nn.elementary import exp, largest, square_sum, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_column_sums
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair
from nlmcli.nn.rank import rank_of

BLOCK = 1 << 22  # logits in memory at a time: 16 MB in float32
WIDTH = 240  # words in a block of the vocabulary: five panels of the matrix product


@kernel
def softmax_nll(z, targets, scale, nll):
    """nll[k] = -ln softmax(z[k])[targets[k]];  z becomes scale (softmax(z) - onehot).  z (N,V), targets (N,), nll (N,)."""
    for k in range(targets.size):
        row, target = z[k], targets[k]
        if target < 0:
            row[:] = 0
            nll[k] = 0
            continue
        top, at_target = largest(row), row[target]
        for v in range(row.size):
            row[v] = exp(row[v] - top)
        sum_of_row = total(row)
        nll[k] = math.log(sum_of_row) + top - at_target
        factor = scale / sum_of_row
        for v in range(row.size):
            row[v] *= factor
        row[target] -= scale


@kernel
def nll_and_rank(z, targets, excluded, nll, rank):
    """nll as above; rank[k]: the rank of the target, without the word `excluded`.  z becomes exp(z - max)."""
    for k in range(targets.size):
        row, target = z[k], targets[k]
        top, at_target = largest(row), row[target]
        before = rank_of(row, target, excluded)
        for v in range(row.size):
            row[v] = exp(row[v] - top)
        nll[k] = math.log(total(row)) + top - at_target
        rank[k] = row.size if math.isnan(nll[k]) else before


@kernel
def logits(h, U, b2, z):
    """z = h U + b2; a b2 of shape (0,) means no bias."""
    if b2.size > 0:
        multiply(h, U, z, bias=b2)
    else:
        multiply(h, U, z)


@kernel
def output_gradient(h, dz, dU, accumulate):
    """dU (+)= hᵀ dz.  If U is a transposed view, dUᵀ (+)= dzᵀ h, since products need an output with contiguous rows."""
    if dU.strides[1] == dU.itemsize:
        multiply(h.T, dz, dU, accumulate=accumulate)
    else:
        multiply(dz.T, h, dU.T, accumulate=accumulate)


@kernel
def loss_rows(h, U, b2, targets, scale, z, nll, dh):
    """nll of each row, dL/dz in z (N,V), dh = dz Uᵀ."""
    logits(h, U, b2, z)
    softmax_nll(z, targets, scale, nll)
    multiply(z, U.T, dh)


@kernel
def add_output_gradients(h, dz, dU, db2):
    """dU += hᵀ dz;  db2 += Σ_n dz_n.  h (N,H), dz (N,V), dU (H,V), db2 (V,)."""
    output_gradient(h, dz, dU, True)
    add_column_sums(dz, db2)


@kernel
def small_head(h, U, b2, targets, scale, dU, db2):
    """Loss and gradients of all rows as one block; adds to dU and db2.  -> Σ nll, dh (N,H)"""
    z, nll, dh = np.empty((h.shape[0], U.shape[1]), h.dtype), np.empty(h.shape[0], h.dtype), np.empty(h.shape, h.dtype)
    loss_rows(h, U, b2, targets, scale, z, nll, dh)
    add_output_gradients(h, z, dU, db2)
    return sum_in_double(nll), dh


@kernel
def sum_in_double(nll):
    """Σ_n nll_n, in double precision."""
    loss = 0.0
    for k in range(nll.size):
        loss += nll[k]
    return loss


# For a large V, by blocks of words that fit the CPU cache, in two passes; between the passes, each row's maximum and sum
# over all blocks are computed. A block is (N, WIDTH); z (blocks, N, WIDTH), top and tot (blocks, N).


@kernel
def words_forward(h, U, b2, targets, z, top, tot, at_target, first, last):
    """For blocks first to last: z = exp(h U + b2 - top); top and tot are each row's maximum and sum in the block."""
    for block in range(first, last):
        start = block * WIDTH
        stop = min(start + WIDTH, U.shape[1])
        logits(h, U[:, start:stop], b2[start:stop], z[block, :, : stop - start])
        for k in range(targets.size):
            row = z[block, k][: stop - start]  # sliced in two steps, so that the compiler knows that it is contiguous
            most = largest(row)
            if start <= targets[k] < stop:
                at_target[k] = row[targets[k] - start]
            for v in range(row.size):
                row[v] = exp(row[v] - most)
            top[block, k], tot[block, k] = most, total(row)


@kernel
def words_between(top, tot, at_target, targets, scale, nll):
    """nll of each row; top becomes the factor of the row in each block: scale e^top / Σ_v e^z_v, 0 for padding."""
    for k in range(targets.size):
        if targets[k] < 0:
            nll[k] = 0
            top[:, k] = 0
            continue
        most, s = top[:, k].max(), 0.0
        for block in range(top.shape[0]):
            top[block, k] = exp(top[block, k] - most)
            s += top[block, k] * tot[block, k]
        nll[k] = math.log(s) + most - at_target[k]
        for block in range(top.shape[0]):
            top[block, k] *= scale / s


@kernel
def words_backward(h, U, targets, scale, z, factor, dh, dU, db2, squares, first, last, accumulate):
    """For blocks first to last: z becomes dz;  dU (+)= hᵀ dz;  db2 (+)= Σ_n dz_n;  dh = Σ over these blocks of dz Uᵀ.

    squares (blocks,): Σ g² of each block of dU and db2, computed while it is in the cache; of db2 alone if U is a transposed view.
    """
    dh[:] = 0
    for block in range(first, last):
        start = block * WIDTH
        stop = min(start + WIDTH, U.shape[1])
        dz, db = z[block, :, : stop - start], db2[start:stop]
        if not accumulate:
            db[:] = 0
        for k in range(targets.size):
            row, f = z[block, k][: stop - start], factor[block, k]
            for v in range(row.size):
                row[v] *= f
            if start <= targets[k] < stop:
                row[targets[k] - start] -= scale
            for v in range(db.size):
                db[v] += row[v]
        output_gradient(h, dz, dU[:, start:stop], accumulate)
        squares[block] = block_squares(dU, db2, start, stop)
        multiply(dz, U[:, start:stop].T, dh, accumulate=True)


@kernel
def block_squares(dU, db2, start, stop):
    s = float(square_sum(db2[start:stop]))
    if dU.strides[1] == dU.itemsize:
        for i in range(dU.shape[0]):
            s += square_sum(dU[i][start:stop])
    return s


@kernel
def score_rows(h, U, b2, targets, excluded, z, nll, rank):
    """nll and rank of each row; z (N,V) is a work buffer."""
    logits(h, U, b2, z)
    nll_and_rank(z, targets, excluded, nll, rank)


@kernel
def draw_rows(h, U, b2, targets, u, z, drawn):
    """drawn[k]: the first word at which the sum of softmax(z[k]) exceeds u[k]; padding stays.  z (N,V) is a work buffer."""
    logits(h, U, b2, z)
    for k in range(targets.size):
        drawn[k] = targets[k]
        if targets[k] < 0:
            continue
        row = z[k]
        top = largest(row)
        for v in range(row.size):
            row[v] = exp(row[v] - top)
        drawn[k] = draw(row, u[k])


def softmax_cross_entropy(z, targets):
    """L = -(1/n) Σ ln softmax(z)[target], n the number of targets that are not padding.  z (N,V), targets (N,) -> L, a scalar."""
    dz = z.copy()
    nll = np.empty(len(z), z.dtype)
    n = max(1, int(np.count_nonzero(targets >= 0)))
    softmax_nll(dz, targets, z.dtype.type(1 / n), nll)
    return nll.sum() / n, dz


def softmax_cross_entropy_backward(dL, dz):
    """dz = dL (softmax(z) - onehot(target)) / n, which the forward pass has computed."""
    return (dL * dz,)


def blocks(N, V):
    """Slices that cover N rows of V logits, each of at most BLOCK logits."""
    step = max(1, BLOCK // V)
    return [slice(k, k + step) for k in range(0, N, step)]


def head_gradient(h, U, b2, targets, scale, dU, db2):
    """Σ nll over the targets, and dh for L = scale · Σ nll; adds to dU and db2.

    h (N,H), U (H,V), b2 (V,), targets (N,) -> the sum of nll (float), dh (N,H).
    """
    dh, nll = np.empty_like(h), np.empty(len(h), h.dtype)
    for rows in blocks(len(h), U.shape[1]):
        z = np.empty((len(h[rows]), U.shape[1]), h.dtype)
        loss_rows(h[rows], U, b2, targets[rows], h.dtype.type(scale), z, nll[rows], dh[rows])
        add_output_gradients(h[rows], z, dU, db2)
    return float(nll.sum(dtype=np.float64)), dh


def head_score(h, U, b2, targets, excluded=-1):
    """nll (N,) and rank (N,) of each target, by blocks.  h (N,H), U (H,V), b2 (V,), targets (N,) without padding.

    excluded: a word that is left out of the ranking; -1 for none.
    """
    nll, rank = np.empty(len(h), h.dtype), np.empty(len(h), np.int32)
    for rows in blocks(len(h), U.shape[1]):
        z = np.empty((len(h[rows]), U.shape[1]), h.dtype)
        score_rows(h[rows], U, b2, targets[rows], excluded, z, nll[rows], rank[rows])
    return nll, rank


def head_draw(h, U, b2, targets, u):
    """Words (N,) sampled from softmax(h U + b2) with u (N,) in [0,1); padded targets stay.  h (N,H), U (H,V), b2 (V,), targets (N,)."""
    drawn = np.empty_like(targets)
    for rows in blocks(len(h), U.shape[1]):
        z = np.empty((len(h[rows]), U.shape[1]), h.dtype)
        draw_rows(h[rows], U, b2, targets[rows], u[rows], z, drawn[rows])
    return drawn


def linear_cross_entropy(h, U, b2, targets):
    """L = -(1/n) Σ ln softmax(h U + b2)[target].  h (N,H), U (H,V), b2 (V,), targets (N,) -> L, a scalar.

    Since L is a scalar, the forward pass computes its gradients for dL = 1 while the logits are in memory.
    """
    n = max(1, int(np.count_nonzero(targets >= 0)))
    dU, db2 = np.zeros_like(U), np.zeros_like(b2)
    total, dh = head_gradient(h, U, b2, targets, 1 / n, dU, db2)
    return total / n, (dh, dU, db2)


def linear_cross_entropy_backward(dL, cache):
    """The gradients of the forward pass, times dL.  -> dh (N,H), dU (H,V), db2 (V,)."""
    return tuple(dL * gradient for gradient in cache)


TARGETS = np.array([2, 0, -1, 5, 2])

pair(softmax_cross_entropy, softmax_cross_entropy_backward, lambda rng: (rng.normal(size=(5, 6)), TARGETS))
pair(
    linear_cross_entropy,
    linear_cross_entropy_backward,
    lambda rng: (rng.normal(size=(5, 3)), rng.normal(size=(3, 6)), rng.normal(size=6), TARGETS),
)
