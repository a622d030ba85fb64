"""The head and its loss, fused: logits, softmax and cross-entropy by blocks of rows.

    z = h U + b2;   p = softmax(z);   L = -(1/n) Σ ln p[target];   dL/dz = (p - onehot(target)) / n

A block of logits turns into its own gradient in place and is used at once, so the (N, V) logits never stand in memory
whole. A target below 0 is padding: it has no loss and no gradient.
"""

import math

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.pair import pair

BLOCK = 1 << 20  # logits held at a time: 4 MB in float32


@kernel
def softmax_nll(z, targets, scale, nll):
    """nll[k] = -ln softmax(z[k])[targets[k]];  z becomes scale (softmax(z) - onehot).  z (N,V), targets (N,), nll (N,)."""
    for k in range(targets.size):
        row = z[k]
        target = targets[k]
        if target < 0:
            row[:] = 0
            nll[k] = 0
            continue
        top = row.max()
        at_target = row[target]
        row[:] = np.exp(row - top)
        total = row.sum()
        nll[k] = math.log(total) + top - at_target
        row *= scale / total
        row[target] -= scale


@kernel
def nll_and_rank(z, targets, nll, rank):
    """nll as above; rank[k]: how many logits exceed the target's (0: it is the most probable).  z is left as it is."""
    for k in range(targets.size):
        row = z[k]
        at_target = row[targets[k]]
        top = row.max()
        nll[k] = math.log(np.exp(row - top).sum()) + top - at_target
        rank[k] = (row > at_target).sum()


def softmax_cross_entropy(z, targets):
    """L = -(1/n) Σ ln softmax(z)[target], n the targets that are not padding.  z (N,V), targets (N,) -> L, a scalar."""
    dz = z.copy()
    nll = np.empty(len(z), z.dtype)
    n = max(1, np.count_nonzero(targets >= 0))
    softmax_nll(dz, targets, z.dtype.type(1 / n), nll)
    return nll.sum() / n, dz


def softmax_cross_entropy_backward(dL, dz):
    """dz = dL (softmax(z) - onehot(target)) / n: the forward pass has it already."""
    return (dL * dz,)


def rows_at_once(V):
    """How many rows of V logits make a block."""
    return max(1, BLOCK // V)


def head_gradient(h, U, b2, targets, scale, dU, db2):
    """Σ nll over the targets, and dh for L = scale · Σ nll; dU and db2 are added to.

    h (N,H), U (H,V), b2 (V,), targets (N,) -> the sum of nll (float), dh (N,H).
    """
    dh = np.empty_like(h)
    nll = np.empty(len(h), h.dtype)
    step = rows_at_once(U.shape[1])
    for k in range(0, len(h), step):
        rows = slice(k, k + step)
        z = h[rows] @ U
        z += b2
        softmax_nll(z, targets[rows], h.dtype.type(scale), nll[rows])
        np.matmul(z, U.T, out=dh[rows])
        dU += h[rows].T @ z
        db2 += z.sum(0)
    return float(nll.sum(dtype=np.float64)), dh


def head_score(h, U, b2, targets):
    """nll (N,) and rank (N,) of each target, by blocks.  h (N,H), U (H,V), b2 (V,), targets (N,), none of them padding."""
    nll, rank = np.empty(len(h), h.dtype), np.empty(len(h), np.int32)
    step = rows_at_once(U.shape[1])
    for k in range(0, len(h), step):
        rows = slice(k, k + step)
        z = h[rows] @ U
        z += b2
        nll_and_rank(z, targets[rows], nll[rows], rank[rows])
    return nll, rank


def linear_cross_entropy(h, U, b2, targets):
    """L = -(1/n) Σ ln softmax(h U + b2)[target].  h (N,H), U (H,V), b2 (V,), targets (N,) -> L, a scalar.

    L is a scalar, so its gradients for dL = 1 are made in the forward pass while the logits are there.
    """
    n = max(1, np.count_nonzero(targets >= 0))
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
