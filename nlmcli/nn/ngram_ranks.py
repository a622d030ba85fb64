"""The probability and the rank of a word after its context, without computing those of all words.

    p(w|c) = d(cw) + γ(c) p(w|c'),   d(cw) = (a(cw) - D) / a(c) of an n-gram that was seen, else 0

So words that were never seen after c have the order that they have after c'. The number of words that are more probable
than x after c is therefore a matter of those that were seen, S(c):

    N(c, x) = |{w in S(c): p(w|c) > x}| - |{w in S(c): γ(c) p(w|c') > x}| + |{w: γ(c) p(w|c') > x}|

and so on for the last term, down to the empty context, whose words are sorted once. The n-grams that extend a context are
kept sorted by p(w|c), and once more by p(w|c'): each term is a binary search, however many words follow a frequent word.
Every p is rounded here as it is in `predict` (models/ngram.py), and equally probable words are ordered by their ids.
"""

from typing import NamedTuple

import numpy as np

from nlmcli.nn.kernel import kernel, separately_rounded
from nlmcli.nn.ngrams import find_node

ROUNDING = 2.0**9 + 1  # x · this, less the difference to x, is x without its last nine bits (Dekker 1971)
FEW = 24  # n-grams that are sorted by insertion


class Sorted(NamedTuple):
    """Values and their words: within the n-grams of each context, from the largest to the smallest, equal ones by word."""

    value: np.ndarray  # (M,) float64
    word: np.ndarray  # (M,) int32


class Ranks(NamedTuple):
    """p of every n-gram, γ of every context, and the two orders.  lowest: the words after the empty context"""

    p: np.ndarray  # (M,)
    left: np.ndarray  # (I,) γ
    base: np.ndarray  # (V,)
    high: Sorted
    low: Sorted
    lowest: Sorted


def rank_ngrams(word, count, first, discount, k, longest_only, base_p):
    """The Ranks of a trie (ngrams.py).  discount (n,4); k, longest_only: additive smoothing; base_p (V,): p after the empty context"""
    M = len(word)
    p, low, left = np.zeros(M), np.zeros(M), np.ones(len(first) - 1)
    fill(word, count, first, discount, k, longest_only, base_p, p, low, left)
    return sorted_ranks(word, first, p, low, left, base_p)


def sorted_ranks(word, first, p, low, left, base_p):
    """The Ranks of these probabilities: p(w|c) and p(w|c') of each n-gram (M,), γ of each context (I,), p(w) (V,)."""
    high_order, low_order = np.arange(len(word), dtype=np.int32), np.arange(len(word), dtype=np.int32)
    for values, order in ((p, high_order), (low, low_order)):
        sort_each(values, first, order)
    high, low = Sorted(p[high_order], word[high_order]), Sorted(low[low_order], word[low_order])
    return Ranks(p, left, base_p, high, low, sorted_words(base_p))


def sorted_words(base_p):
    """All words by p after the empty context (V,)."""
    order = np.argsort(-base_p, kind="stable").astype(np.int32)
    return Sorted(base_p[order], order)


@kernel
def mass(count, start, stop, D, k):
    """a(c) + k, and γ(c) = (Σ_w D(a(cw)) + k) / (a(c) + k), from the counts of the n-grams that extend c."""
    total = ones = twos = more = 0
    for i in range(start, stop):
        total += count[i]
        ones += count[i] == 1
        twos += count[i] == 2
        more += count[i] > 2
    return total + k, (D[1] * ones + D[2] * twos + D[3] * more + k) / (total + k)


@separately_rounded
def interpolated(a, D, total, left, lower):
    """p(w|c) of an n-gram that was seen, rounded to 44 bits.

    Two words may have the same p for different reasons, such as 1 - 1/3 = 2 - 4/3, and differ in the last bit. Their order by p
    would not be that of γ p, which is equal for both, so they are made equal here, nearly always; a difference of 44 bits outlives
    a multiplication.
    """
    p = (a - D[min(a, 3)]) / total + left * lower
    large = p * ROUNDING
    return large - (large - p)


@kernel
def fill(word, count, first, discount, k, longest_only, base_p, p, low, left):
    """p(w|c) and p(w|c') of every n-gram cw, and γ(c), order by order."""
    lower = np.zeros(word.size, np.int32)  # the node of c'w
    order, end = 1, base_p.size
    for i in range(left.size):
        if i == end:
            order, end = order + 1, first[end]
        start, stop, D = first[i], first[i + 1], discount[order]
        if start == stop:
            continue
        total, left[i] = mass(count, start, stop, D, k)
        at = first[lower[i]] if order > 1 else 0
        for j in range(start, stop):
            if order > 1:
                at = find(word, at, first[lower[i] + 1], word[j])
            lower[j] = at if order > 1 else word[j]
            low[j] = base_p[word[j]] if longest_only or order == 1 else p[lower[j]]
            p[j] = interpolated(count[j], D, total, left[i], low[j])


@kernel
def find(word, low, high, w):
    """The first i in low <= i < high with word[i] >= w; high if there is none."""
    while low < high:
        middle = (low + high) // 2
        if word[middle] < w:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def sort_each(values, first, order):
    """Sort the n-grams of each context by descending value; equal values stay in the order of their words."""
    for i in range(first.size - 1):
        start, stop = first[i], first[i + 1]
        if stop - start > FEW:
            order[start:stop] = start + np.argsort(-values[start:stop], kind="mergesort")
            continue
        for j in range(start + 1, stop):
            mine, at = order[j], j
            while at > start and values[order[at - 1]] < values[mine]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = mine


@kernel
def number_before(values, start, stop, left, x, w):
    """How many entries from start to stop, times all of `left`, are larger than x, or equal to it and of a word before w."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        value = values.value[middle]
        for factor in left:
            value *= factor
        if value > x or (value == x and values.word[middle] < w):
            low = middle + 1
        else:
            high = middle
    return low - start


@kernel
def probability(w, nodes, left, word, first, ranks):
    """p(w|c).  nodes: of c and its ends that were seen, from the shortest on; left: γ of each"""
    p = ranks.base[w]
    for l in range(nodes.size):
        start, stop = first[nodes[l]], first[nodes[l] + 1]
        at = find(word, start, stop, w)
        p = ranks.p[at] if at < stop and word[at] == w else left[l] * p
    return p


@kernel
def rank_after(x, w, nodes, left, first, ranks):
    """The number of words before w, whose p is x: those more probable, and equally probable ones with a smaller id."""
    rank = number_before(ranks.lowest, 0, ranks.base.size, left, x, w)
    for l in range(nodes.size):
        start, stop = first[nodes[l]], first[nodes[l] + 1]
        rank += number_before(ranks.high, start, stop, left[l + 1 :], x, w)
        rank -= number_before(ranks.low, start, stop, left[l:], x, w)
    return rank


@kernel
def seen_contexts(context, word, first, left, longest_only, nodes, lengths):
    """The nodes of the ends of a context after which a word was seen, from the shortest on, or at most the longest.  -> their number

    left: γ of every context, which matters where it is not 1 although no word was seen; empty if it is always 1 there.
    """
    n, count = context.size, 0
    for length in range(1, n + 1):
        if context[n - length] < 0:  # before the beginning of the text
            break
        if longest_only and length < n and context[n - length - 1] >= 0:
            continue
        i = find_node(context[n - length :], word, first)
        if i >= 0 and (first[i] < first[i + 1] or (left.size > 0 and left[i] != 1)):
            nodes[count], lengths[count] = i, length
            count += 1
        elif left.size == 0:  # of counted n-grams: then no longer end was seen either
            break
    return count


@kernel
def score_by_ranks(contexts, targets, excluded, word, first, longest_only, ranks, p, rank):
    """p and rank of each target, without the word `excluded`.  contexts (N,n-1), targets (N,)"""
    size = contexts.shape[1]
    path, lengths, factors = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    for t in range(targets.size):
        w, count = targets[t], seen_contexts(contexts[t], word, first, ranks.left, longest_only, path, lengths)
        nodes, left = path[:count], factors[:count]
        for l in range(count):
            left[l] = ranks.left[nodes[l]]
        p[t] = probability(w, nodes, left, word, first, ranks)
        rank[t] = rank_after(p[t], w, nodes, left, first, ranks)
        if 0 <= excluded != w:
            other = probability(excluded, nodes, left, word, first, ranks)
            rank[t] -= other > p[t] or (other == p[t] and excluded < w)
