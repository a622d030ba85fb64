"""Adaptive softmax: frequent words are predicted directly, rare words by way of the cluster that they belong to.

    y = softmax(h U + b),  over K clusters and the n frequent words of the shortlist
    p(w) = y[K + w]  for a word of the shortlist
    p(w) = y[i] softmax((h R_i) U_i + b_i)[w - first_i]  for a word of cluster i;  R_i reduces h to fewer dimensions

Words are ordered by frequency, the most frequent first. Most targets are in the shortlist, so most rows of h never multiply
the many columns of rare words. The probabilities are exact and sum to 1.  Grave, Joulin, Cissé, Grangier & Jégou 2017
"""

import math
from typing import NamedTuple

import numpy as np

from nlmcli.nn.cross_entropy import blocks, head_gradient, logits
from nlmcli.nn.draw import draw_each, draw_within
from nlmcli.nn.elementary import exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.linear import matmul_backward
from nlmcli.nn.matmul import matmul
from nlmcli.nn.pair import pair
from nlmcli.nn.rank import number_before


class Tail(NamedTuple):
    """What predicts the words of a cluster.  R (H,D), or None if h is not reduced; U (D,n), b (n,) or (0,) for no bias"""

    R: np.ndarray | None
    U: np.ndarray
    b: np.ndarray

    def read(self, h):
        """h R.  h (N,H) -> (N,D)"""
        return h if self.R is None else matmul(h, self.R)

    def log_p(self, h):
        """ln p of each word, given its cluster.  h (N,H) -> (N,n)"""
        return log_softmax(self.read(h), self.U, self.b)


def split(targets, cutoffs):
    """The column of U that each target is predicted by, and its cluster: i from 1, 0 for the shortlist.  targets (N,)

    cutoffs: the first word of each cluster.
    """
    cluster = np.searchsorted(cutoffs, targets, side="right")
    return np.where(targets < 0, targets, np.where(cluster == 0, targets + len(cutoffs), cluster - 1)), cluster


def adaptive_gradient(h, head, tails, targets, cutoffs, scale, dhead, dtails):
    """Σ nll over the targets, and dh for L = scale · Σ nll; adds to the gradients dhead and dtails.  h (N,H), targets (N,)

    head: U (H,K+n), b (K+n,) or (0,).  tails: of the K clusters.
    """
    columns, cluster = split(targets, cutoffs)
    (U, b), (dU, db) = head, dhead
    loss, dh = head_gradient(h, U, b, columns, scale, dU, db)
    for i, (tail, dtail) in enumerate(zip(tails, dtails, strict=True)):
        rows = np.flatnonzero(cluster == i + 1)
        if len(rows):
            part, own = h[rows], targets[rows] - cutoffs[i]
            more, dread = head_gradient(tail.read(part), tail.U, tail.b, own, scale, dtail.U, dtail.b)
            dh[rows] += tail_backward(dread, part, tail, dtail)
            loss += more
    return loss, dh


def tail_backward(dread, h, tail, dtail):
    """dh of the rows of a cluster, given that of what its words read; adds to dR."""
    return dread if tail.R is None else matmul_backward(dread, h, tail.R, dtail.R)


def adaptive_score(h, head, tails, targets, cutoffs, excluded=-1):
    """nll (N,) and rank (N,) of each target.  h (N,H), targets (N,) without padding

    excluded: a word that is left out of the ranking; -1 for none.
    """
    nll, rank, words = np.empty(len(h), h.dtype), np.empty(len(h), np.int32), head[0].shape[1] + sum(tail.U.shape[1] for tail in tails)
    for rows in blocks(len(h), words):
        nll[rows], rank[rows] = score_rows(h[rows], head, tails, targets[rows], cutoffs, excluded)
    rank[np.isnan(nll)] = words - len(tails)
    return nll, rank


def score_rows(h, head, tails, targets, cutoffs, excluded):
    """The same of rows whose logits fit in memory. A cluster that is less probable than the target has no word before it."""
    columns, cluster = split(targets, cutoffs)
    y, K = log_softmax(h, *head), len(tails)
    log_p, rank = y[np.arange(len(h)), columns], np.zeros(len(h), np.int32)
    for i, tail in enumerate(tails):
        rows = np.flatnonzero(cluster == i + 1)
        given = tail.log_p(h[rows]) + y[rows, i, None]
        log_p[rows] = given[np.arange(len(rows)), targets[rows] - cutoffs[i]]
        add_number_before(given, rows, log_p, targets, cutoffs[i], excluded, rank)
    add_number_before(y[:, K:], np.arange(len(h)), log_p, targets, 0, excluded, rank)
    for i, tail in enumerate(tails):
        rows = np.flatnonzero((cluster != i + 1) & (y[:, i] >= log_p))
        add_number_before(tail.log_p(h[rows]) + y[rows, i, None], rows, log_p, targets, cutoffs[i], excluded, rank)
    return -log_p, rank


@kernel
def add_number_before(part, rows, log_p, targets, first, excluded, rank):
    """rank[rows[k]] += the number of words before the target in a part of the vocabulary.  part (n,m): ln p from the word `first` on"""
    for k in range(rows.size):
        row = rows[k]
        rank[row] += number_before(part[k], log_p[row], targets[row] - first, excluded - first)


def adaptive_log_p(h, head, tails):
    """ln p of every word, in the order of ids.  h (N,H) -> (N,V)"""
    y, K = log_softmax(h, *head), len(tails)
    return np.concatenate([y[:, K:], *(tail.log_p(h) + y[:, i, None] for i, tail in enumerate(tails))], axis=1)


def adaptive_draw(h, head, tails, targets, u):
    """Words (N,) sampled from the distribution with u (N,) in [0,1); padded targets stay.  h (N,H), targets (N,)"""
    drawn = np.empty_like(targets)
    for rows in blocks(len(h), head[0].shape[1] + sum(tail.U.shape[1] for tail in tails)):
        draw_each(adaptive_log_p(h[rows], head, tails), 1.0, u[rows], drawn[rows])
    return np.where(targets < 0, targets, drawn)


def adaptive_draw_one(h, head, tails, cutoffs, excluded, u):
    """A word (N,) for each h (N,H), sampled with u (N,) in [0,1): from the shortlist and, if that gives a cluster, from its words.

    excluded: a word of the shortlist that is never drawn; -1 for none.
    """
    y, K, drawn, within = log_softmax(h, *head), len(tails), np.empty(len(h), np.int64), np.empty(len(h))
    if excluded >= 0:
        y[:, K + excluded] = -np.inf
    draw_rows(y, u, drawn, within)
    columns = drawn.copy()
    drawn -= K
    for i, tail in enumerate(tails):
        rows = np.flatnonzero(columns == i)
        if len(rows):
            own = np.empty(len(rows), np.int64)
            draw_rows(tail.log_p(h[rows]), within[rows], own, np.empty(len(rows)))
            drawn[rows] = cutoffs[i] + own
    return drawn


@kernel
def draw_rows(log_p, u, drawn, within):
    """draw_within of each row.  log_p (N,M), overwritten"""
    for k in range(u.size):
        row = log_p[k]
        for v in range(row.size):
            row[v] = exp(row[v])
        drawn[k], within[k] = draw_within(row, u[k])


def log_softmax(h, U, b):
    """ln softmax(h U + b).  h (N,H), U (H,M), b (M,) or (0,) -> (N,M)"""
    z = np.empty((len(h), U.shape[1]), h.dtype)
    if len(h):
        logits(h, U, b, z)
        normalize(z)
    return z


@kernel
def normalize(z):
    """z - ln Σ e^z of each row, in place.  z (N,M)"""
    exponentials = np.empty(z.shape[1], z.dtype)
    for k in range(z.shape[0]):
        row = z[k]
        top = largest(row)
        for v in range(row.size):
            exponentials[v] = exp(row[v] - top)
        shift = top + z.dtype.type(math.log(total(exponentials)))
        for v in range(row.size):
            row[v] -= shift


def adaptive_cross_entropy(h, U, b, R, U1, b1, targets):
    """L = -(1/n) Σ ln p(target), with one cluster.  h (N,H), U (H,1+n), b (1+n,), R (H,D), U1 (D,V-n), b1 (V-n,) -> L, a scalar.

    Since L is a scalar, the forward pass computes its gradients for dL = 1.
    """
    counted = max(1, int(np.count_nonzero(targets >= 0)))
    parameters = U, b, R, U1, b1
    dU, db, dR, dU1, db1 = gradients = tuple(map(np.zeros_like, parameters))
    cutoffs, tail, dtail = [U.shape[1] - 1], Tail(R, U1, b1), Tail(dR, dU1, db1)
    loss, dh = adaptive_gradient(h, (U, b), (tail,), targets, cutoffs, 1 / counted, (dU, db), (dtail,))
    return loss / counted, (dh, *gradients)


def adaptive_cross_entropy_backward(dL, cache):
    """The gradients of the forward pass, times dL.  -> dh, dU, db, dR, dU1, db1"""
    return tuple(dL * gradient for gradient in cache)


def _example(rng):
    shapes = (6, 4), (4, 1 + 3), (1 + 3,), (4, 2), (2, 5), (5,)
    return (*(rng.normal(size=shape) for shape in shapes), np.array([2, 0, -1, 3, 7, 4]))


pair(adaptive_cross_entropy, adaptive_cross_entropy_backward, _example)
