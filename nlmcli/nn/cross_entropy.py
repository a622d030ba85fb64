"""The head and its loss, fused: logits, softmax and cross-entropy by blocks of rows.

    z = h U + b2;   p = softmax(z);   L = -(1/n) Σ ln p[target];   dL/dz = (p - onehot(target)) / n

A block of logits turns into its own gradient in place and is used at once, so the (N, V) logits never stand in memory
whole. A target below 0 is padding: it has no loss and no gradient.
"""

import math

import numpy as np

from nlmcli.nn.elementary import exp, largest, square_sum, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import add_up
from nlmcli.nn.matmul import multiply
from nlmcli.nn.pair import pair
from nlmcli.nn.rank import rank_of

BLOCK = 1 << 22  # logits held at a time: 16 MB in float32
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
    """nll as above, and the rank of each target, without a token that is excluded.  z becomes exp(z - max)."""
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
    """z = h U + b2; a b2 of shape (0,) is none."""
    if b2.size > 0:
        multiply(h, U, z, bias=b2)
    else:
        multiply(h, U, z)


@kernel
def output_gradient(h, dz, dU, accumulate):
    """dU (+)= hᵀ dz.  Where U is a transposed view, dUᵀ (+)= dzᵀ h: a product is written by contiguous rows."""
    if dU.strides[1] == dU.itemsize:
        multiply(h.T, dz, dU, accumulate=accumulate)
    else:
        multiply(dz.T, h, dU.T, accumulate=accumulate)


@kernel
def loss_rows(h, U, b2, targets, scale, z, nll, dh):
    """nll of every row, dL/dz in z (N,V), dh = dz Uᵀ."""
    logits(h, U, b2, z)
    softmax_nll(z, targets, scale, nll)
    multiply(z, U.T, dh)


@kernel
def loss_weights(h, dz, dU, db2):
    """dU += hᵀ dz;  db2 += Σ_n dz_n.  h (N,H), dz (N,V), dU (H,V), db2 (V,)."""
    output_gradient(h, dz, dU, True)
    add_up(dz, db2)


@kernel
def small_head(h, U, b2, targets, scale, dU, db2):
    """loss_rows and loss_weights of all rows at once -> Σ nll, dh (N,H)."""
    z, nll, dh = np.empty((h.shape[0], U.shape[1]), h.dtype), np.empty(h.shape[0], h.dtype), np.empty(h.shape, h.dtype)
    loss_rows(h, U, b2, targets, scale, z, nll, dh)
    loss_weights(h, z, dU, db2)
    return sum_of(nll), dh


@kernel
def sum_of(nll):
    """Σ_n nll_n, in double precision."""
    loss = 0.0
    for k in range(nll.size):
        loss += nll[k]
    return loss


# Where V is large, by blocks of words that stay in the cache: two passes over them, and between the passes each row's
# maximum and sum over all blocks is known. A block is (N, WIDTH); z (blocks, N, WIDTH), top and tot (blocks, N).


@kernel
def words_forward(h, U, b2, targets, z, top, tot, at_target, first, last):
    """For blocks first to last: z = exp(h U + b2 - top), top and tot each row's maximum and sum in its block."""
    for block in range(first, last):
        start = block * WIDTH
        stop = min(start + WIDTH, U.shape[1])
        logits(h, U[:, start:stop], b2[start:stop], z[block, :, : stop - start])
        for k in range(targets.size):
            row = z[block, k][: stop - start]  # cut after it was taken: the compiler knows that it is contiguous
            most = largest(row)
            if start <= targets[k] < stop:
                at_target[k] = row[targets[k] - start]
            for v in range(row.size):
                row[v] = exp(row[v] - most)
            top[block, k], tot[block, k] = most, total(row)


@kernel
def words_between(top, tot, at_target, targets, scale, nll):
    """nll of every row; top becomes what its row of each block is multiplied by: scale e^top / Σ_v e^z_v, 0 for padding."""
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

    squares (blocks,): Σ g² of each block of dU and db2 while it is in the cache; 0 where U is a transposed view.
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
    if dU.strides[1] != dU.itemsize:
        return 0.0
    s = float(square_sum(db2[start:stop]))
    for i in range(dU.shape[0]):
        s += square_sum(dU[i][start:stop])
    return s


@kernel
def score_rows(h, U, b2, targets, excluded, z, nll, rank):
    """nll and rank of every row; z (N,V) is room to work in."""
    logits(h, U, b2, z)
    nll_and_rank(z, targets, excluded, nll, rank)


@kernel
def draw_rows(h, U, b2, targets, u, z, drawn):
    """drawn[k]: the first word at which the sum of softmax(z[k]) exceeds u[k]; padding stays.  z (N,V) is room to work in."""
    logits(h, U, b2, z)
    for k in range(targets.size):
        drawn[k] = targets[k]
        if targets[k] < 0:
            continue
        row, sum_of_row, at = z[k], 0.0, 0
        top = largest(row)
        for v in range(row.size):
            row[v] = exp(row[v] - top)
        for v in range(row.size):
            sum_of_row += row[v]
        below = float(row[0])
        while below <= u[k] * sum_of_row and at < row.size - 1:
            at += 1
            below += row[at]
        drawn[k] = at


def softmax_cross_entropy(z, targets):
    """L = -(1/n) Σ ln softmax(z)[target], n the targets that are not padding.  z (N,V), targets (N,) -> L, a scalar."""
    dz = z.copy()
    nll = np.empty(len(z), z.dtype)
    n = max(1, int(np.count_nonzero(targets >= 0)))
    softmax_nll(dz, targets, z.dtype.type(1 / n), nll)
    return nll.sum() / n, dz


def softmax_cross_entropy_backward(dL, dz):
    """dz = dL (softmax(z) - onehot(target)) / n: the forward pass has it already."""
    return (dL * dz,)


def blocks(N, V):
    """Slices of at most BLOCK logits that cover N rows of V."""
    step = max(1, BLOCK // V)
    return [slice(k, k + step) for k in range(0, N, step)]


def head_gradient(h, U, b2, targets, scale, dU, db2):
    """Σ nll over the targets, and dh for L = scale · Σ nll; dU and db2 are added to.

    h (N,H), U (H,V), b2 (V,), targets (N,) -> the sum of nll (float), dh (N,H).
    """
    dh, nll = np.empty_like(h), np.empty(len(h), h.dtype)
    for rows in blocks(len(h), U.shape[1]):
        z = np.empty((len(h[rows]), U.shape[1]), h.dtype)
        loss_rows(h[rows], U, b2, targets[rows], h.dtype.type(scale), z, nll[rows], dh[rows])
        loss_weights(h[rows], z, dU, db2)
    return float(nll.sum(dtype=np.float64)), dh


def head_score(h, U, b2, targets, excluded=-1):
    """nll (N,) and rank (N,) of each target, by blocks.  h (N,H), U (H,V), b2 (V,), targets (N,), none of them padding.

    excluded: a token that is left out of the ranks; -1 for none.
    """
    nll, rank = np.empty(len(h), h.dtype), np.empty(len(h), np.int32)
    for rows in blocks(len(h), U.shape[1]):
        z = np.empty((len(h[rows]), U.shape[1]), h.dtype)
        score_rows(h[rows], U, b2, targets[rows], excluded, z, nll[rows], rank[rows])
    return nll, rank


def head_draw(h, U, b2, targets, u):
    """Words (N,) drawn from softmax(h U + b2) by u (N,) in [0,1); padding where the target is.  h (N,H), U (H,V), b2 (V,), targets (N,)."""
    drawn = np.empty_like(targets)
    for rows in blocks(len(h), U.shape[1]):
        z = np.empty((len(h[rows]), U.shape[1]), h.dtype)
        draw_rows(h[rows], U, b2, targets[rows], u[rows], z, drawn[rows])
    return drawn


def linear_cross_entropy(h, U, b2, targets):
    """L = -(1/n) Σ ln softmax(h U + b2)[target].  h (N,H), U (H,V), b2 (V,), targets (N,) -> L, a scalar.

    L is a scalar, so its gradients for dL = 1 are made in the forward pass while the logits are there.
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
