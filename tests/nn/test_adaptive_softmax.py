"""Adaptive softmax beside its definition in tests/naive.py."""

import itertools
import math

import naive
import numpy as np
import pytest

from nlmcli.models.base import clusters
from nlmcli.nn.adaptive_softmax import Tail, adaptive_draw, adaptive_draw_one, adaptive_gradient, adaptive_log_p, adaptive_score

V, H, CUTOFFS = 23, 6, (4, 11)


def example(dtype=np.float64, reduces=True, bias=True, seed=0):
    """h, head, tails and targets of a vocabulary in three parts."""
    rng = np.random.default_rng(seed)
    sizes = [4, 7, 12]
    h = rng.normal(size=(40, H)).astype(dtype)
    head = rng.normal(size=(H, 2 + sizes[0])).astype(dtype), rng.normal(size=(2 + sizes[0]) * bias).astype(dtype)
    tails = []
    for i, size in enumerate(sizes[1:], 1):
        width = H // 2**i if reduces else H
        R = rng.normal(size=(H, width)).astype(dtype) if reduces else None
        tails.append(Tail(R, rng.normal(size=(width, size)).astype(dtype), rng.normal(size=size * bias).astype(dtype)))
    targets = rng.integers(0, V, 40)
    return h, head, tails, targets


@pytest.mark.parametrize("reduces", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_probabilities_are_those_of_the_definition_and_sum_to_one(reduces, bias):
    h, head, tails, _ = example(reduces=reduces, bias=bias)
    log_p = adaptive_log_p(h, head, tails)
    np.testing.assert_allclose(log_p, naive.adaptive_log_p(h, head, tails), rtol=1e-12)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-12)


@pytest.mark.parametrize("excluded", [-1, 0, 3, 4, 10, 22])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_those_of_all_probabilities(excluded, dtype):
    h, head, tails, targets = example(dtype)
    nll, rank = adaptive_score(h, head, tails, targets, CUTOFFS, excluded)
    log_p = adaptive_log_p(h, head, tails)
    np.testing.assert_array_equal(nll, -log_p[np.arange(len(h)), targets])
    expected = []
    for row, target in zip(log_p, targets, strict=True):
        order = [w for w in np.argsort(-row, kind="stable") if w != excluded or w == target]
        expected.append(order.index(target))
    np.testing.assert_array_equal(rank, expected)


def test_equal_probabilities_rank_by_id_across_parts():
    h, head, tails, _ = example()
    head = np.zeros_like(head[0]), np.zeros_like(head[1])
    tails = [Tail(np.zeros_like(t.R), np.zeros_like(t.U), np.log(np.full(t.b.shape, 1.0))) for t in tails]
    _, rank = adaptive_score(h[:V], head, tails, np.arange(V), CUTOFFS)
    np.testing.assert_array_equal(rank, np.arange(V))  # the larger a cluster, the less probable its words


def test_what_is_not_a_number_ranks_last():
    h, head, tails, targets = example()
    h[3] = np.nan
    nll, rank = adaptive_score(h, head, tails, targets, CUTOFFS)
    assert math.isnan(nll[3])
    assert rank[3] == V
    assert np.isfinite(np.delete(nll, 3)).all()


def test_a_cluster_without_targets_gets_no_gradient_and_padding_none():
    h, head, tails, targets = example()
    targets = np.where(targets >= 11, -1, targets)
    dhead = tuple(np.zeros_like(part) for part in head)
    dtails = [Tail(*map(np.zeros_like, tail)) for tail in tails]
    loss, dh = adaptive_gradient(h, head, tails, targets, CUTOFFS, 1.0, dhead, dtails)
    nll, _ = adaptive_score(h[targets >= 0], head, tails, targets[targets >= 0], CUTOFFS)
    assert loss == pytest.approx(nll.sum(), rel=1e-12)
    assert all((part == 0).all() for part in dtails[1])
    assert (dh[targets < 0] == 0).all()
    assert (dh[targets >= 0] != 0).all()


def test_draws_have_the_distribution_of_the_probabilities():
    h, head, tails, _ = example()
    n = 20_000
    u = (np.arange(n) + 0.5) / n
    drawn = adaptive_draw(np.repeat(h[:1], n, 0), head, tails, np.zeros(n, np.int64), u)
    p = np.exp(adaptive_log_p(h[:1], head, tails)[0])
    np.testing.assert_allclose(np.bincount(drawn, minlength=V) / n, p, atol=1.01 / n)
    np.testing.assert_array_equal(adaptive_draw(h[:3], head, tails, np.array([0, -1, -1]), np.zeros(3))[1:], [-1, -1])


def test_the_best_cutoffs_are_the_cheapest_of_all():
    V, width, rows = 3_000, 1024, 512  # wide enough for three clusters
    counts, ends = clusters.zipf(V), clusters.candidates(V)
    share = np.concatenate([[0], np.cumsum(counts) / counts.sum()])

    def total(cutoffs):
        K, parts = len(cutoffs), [*cutoffs, V]
        whole = clusters.cost(rows, parts[0], width) + K * (rows + clusters.MOVED) * width
        for i in range(K):
            inside, own = rows * (share[parts[i + 1]] - share[parts[i]]), clusters.reduced(width, i + 1)
            whole += inside * width * own + clusters.cost(inside, parts[i + 1] - parts[i], own)
        return whole

    best = clusters.best_cutoffs(counts, width, rows=rows)
    assert total(best) == pytest.approx(min(total(each) for n in range(4) for each in itertools.combinations(ends, n)))
    assert len(best) > 0
    assert clusters.best_cutoffs(clusters.zipf(66), 64) == ()  # too small


@pytest.mark.parametrize("excluded", [-1, 2])
def test_draws_by_way_of_clusters_have_the_distribution_of_the_probabilities(excluded):
    h, head, tails, _ = example()
    n = 200_000
    u = (np.arange(n) + 0.5) / n
    drawn = adaptive_draw_one(np.repeat(h[:1], n, 0), head, tails, CUTOFFS, excluded, u)
    p = np.exp(adaptive_log_p(h[:1], head, tails)[0])
    if excluded >= 0:
        p[excluded] = 0
    np.testing.assert_allclose(np.bincount(drawn, minlength=V) / n, p / p.sum(), atol=2.01 / n)
