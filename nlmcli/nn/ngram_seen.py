"""The probability and the rank of a word after its context, from the n-grams that continue the context and nothing else.

What ngram_ranks.py keeps sorted for every context of a trie is computed here for each context when it occurs, so that a
trie in a file is read only where it is needed. The terms of N(c, x) are counted rather than looked up. Words are scored
in the order of their contexts: what follows a frequent context is computed once for all of them.
"""

from typing import NamedTuple

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.ngram_ranks import find, interpolated, mass, number_before, seen_contexts


class After(NamedTuple):
    """Of the end of each length of the context at hand: its node, γ, and p(w|c) and p(w|c') of each w that was seen after it."""

    node: np.ndarray  # (n-1,)
    left: np.ndarray  # (n-1,)
    high: np.ndarray  # (n-1,V)
    low: np.ndarray  # (n-1,V)


def nothing_known(size, V):
    """The state of `score_by_counting` before the first word.  size: n-1"""
    return After(np.full(size, -1), np.empty(size), np.empty((size, V)), np.empty((size, V)))


@kernel
def score_by_counting(contexts, targets, order, excluded, word, count, first, discount, k, longest_only, base_p, lowest, after, p, rank):
    """p and rank of some targets, without the word `excluded`.  contexts (N,n-1), targets, p, rank (N,)

    order: their numbers, in the order of the last words of their contexts; lowest: the words after the empty context, Sorted
    (ngram_ranks.py); after: what was computed last, an After
    """
    path, lengths = np.empty(contexts.shape[1], np.int64), np.empty(contexts.shape[1], np.int64)
    known, left, high, low = after
    for t in order:
        w, levels = targets[t], seen_contexts(contexts[t], word, first, np.empty(0), longest_only, path, lengths)
        nodes = path[:levels]
        for l in range(levels):
            if known[l] != nodes[l]:
                known[l], D = nodes[l], discount[lengths[l]]
                left[l] = fill(nodes[: l + 1], word, count, first, D, k, base_p, high[l - 1], high[l], low[l])
        p[t] = probability(w, nodes, left, word, first, base_p, high)
        rank[t] = rank_after(p[t], w, nodes, left[:levels], word, first, base_p, lowest, high, low)
        if 0 <= excluded != w:
            other = probability(excluded, nodes, left, word, first, base_p, high)
            rank[t] -= other > p[t] or (other == p[t] and excluded < w)


@kernel
def fill(nodes, word, count, first, D, k, base_p, shorter, high, low):
    """p(w|c) and p(w|c') of every w that was seen after c.  -> γ(c)

    nodes: of the ends of c, up to c itself; shorter: p(w|c') of every w that was seen after c', if c' is not empty
    """
    start, stop = first[nodes[-1]], first[nodes[-1] + 1]
    total, left = mass(count, start, stop, D, k)
    after = first[nodes[-2]] if nodes.size > 1 else 0
    at, end = after, first[nodes[-2] + 1] if nodes.size > 1 else 0
    for j in range(start, stop):
        if nodes.size > 1:
            at = find(word, at, min(at + reach(word, at, end, word[j]), end), word[j])
        low[j - start] = shorter[at - after] if nodes.size > 1 else base_p[word[j]]
        high[j - start] = interpolated(count[j], D, total, left, low[j - start])
    return left


@kernel
def reach(word, at, end, w):
    """A number of words from `at` on among which w is, or after which it belongs: the next power of two."""
    step = 1
    while at + step < end and word[at + step] < w:
        step *= 2
    return step + 1


@kernel
def probability(w, nodes, left, word, first, base_p, high):
    """p(w|c).  nodes: of c and its ends that were seen, from the shortest on; left: γ of each; high: p(w|c) after each"""
    p = base_p[w]
    for l in range(nodes.size):
        start, stop = first[nodes[l]], first[nodes[l] + 1]
        at = find(word, start, stop, w)
        p = high[l, at - start] if at < stop and word[at] == w else left[l] * p
    return p


@kernel
def rank_after(x, w, nodes, left, word, first, base_p, lowest, high, low):
    """The number of words before w, whose p is x: those more probable, and equally probable ones with a smaller id."""
    order_is_lost = left.size > 0 and left.min() == 0
    rank = counted_before(base_p, w, left, x) if order_is_lost else number_before(lowest, 0, base_p.size, left, x, w)
    for l in range(nodes.size):
        start, stop = first[nodes[l]], first[nodes[l] + 1]
        at = find(word, start, stop, w) - start
        rank += counted_before(high[l, : stop - start], at, left[l + 1 :], x)
        rank -= counted_before(low[l, : stop - start], at, left[l:], x)
    return rank


@kernel
def counted_before(values, at, left, x):
    """How many values, times all of `left`, are larger than x, or equal to it and before index `at`."""
    scaled = values
    if left.size > 0:
        scaled = np.empty(values.size)
        for j in range(values.size):
            scaled[j] = values[j] * left[0]
        for factor in left[1:]:
            for j in range(values.size):
                scaled[j] *= factor
    number = 0
    for j in range(at):
        number += scaled[j] >= x
    for j in range(at, values.size):
        number += scaled[j] > x
    return number
