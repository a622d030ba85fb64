"""A back-off n-gram model, as ARPA files hold it: probabilities of the n-grams that are listed, and weights of their contexts.

    p(w|c) = p listed for cw;   γ(c) p(w|c') if cw is not listed, with γ(c) = 1 if c is not listed either          Katz 1987

c' is c without its first word. The interpolated n-gram model (models/ngram.py) has this form too. Such a model is read from a file,
not trained.
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.models.base.model import context
from nlmcli.models.base.ngrams import NGrams, Trie
from nlmcli.nn.kernel import kernel
from nlmcli.nn.ngram_ranks import find, probability, score_by_ranks, seen_contexts, sorted_ranks

MOST = 64  # the highest order


@dataclass(frozen=True)
class Config:
    context: int = context(5)


class Tables(Trie):
    """The trie of n-grams (word, first), p of each n-gram (M,) and γ of each context (I,). `flat` is p."""

    def __init__(self, word, first, p, left):
        super().__init__(p, word=word, first=first, p=p, left=left)

    def ranks(self, V):
        """The Ranks of these n-grams, computed once."""
        return self.once("ranks", lambda: self.computed_ranks(V))

    def computed_ranks(self, V):
        base, none = self.p[:V].copy(), np.empty(0)
        unsorted = sorted_ranks(self.word[:0], self.first[:1], self.p, none, self.left, base)  # enough for probabilities
        parent = np.repeat(np.arange(len(self.first) - 1, dtype=np.int32), np.diff(self.first))
        low = np.zeros(len(self.word))
        fill_lower(self.word, self.first, parent, V, unsorted, low)
        return sorted_ranks(self.word, self.first, self.p, low, self.left, base)


class BackOff(NGrams):
    """State and h are those of every n-gram model (ngrams.py)."""

    Config = Config

    def score_rows(self, P, h, targets, excluded=-1):
        p, rank = np.empty(len(h)), np.empty(len(h), np.int32)
        score_by_ranks(np.ascontiguousarray(h), targets, excluded, P.word, P.first, False, P.ranks(self.V), p, rank)
        with np.errstate(divide="ignore"):
            return -np.log(p), rank

    def logits(self, P, h):
        p = np.empty((len(h), self.V))
        predict_all(np.ascontiguousarray(h), P.word, P.first, P.p, P.left, p)
        with np.errstate(divide="ignore"):
            return np.log(p, out=p)


@kernel
def predict_all(contexts, word, first, p, left, rows):
    """p(w|c) of all words, from the shortest end of each context that is listed to the longest.  contexts (N,n-1), rows (N,V)"""
    size = contexts.shape[1]
    nodes, lengths = np.empty(size, np.int64), np.empty(size, np.int64)
    for t in range(len(contexts)):
        row = rows[t]
        row[:] = p[: row.size]
        for l in range(seen_contexts(contexts[t], word, first, left, False, nodes, lengths)):
            node = nodes[l]
            for w in range(row.size):
                row[w] *= left[node]
            for j in range(first[node], first[node + 1]):
                row[word[j]] = p[j]


@kernel
def fill_lower(word, first, parent, V, ranks, low):
    """low: p(w|c') of every n-gram cw.  parent: the context of each node from V on"""
    for i in range(first.size - 1):
        if first[i] == first[i + 1]:
            continue
        context, at, node = np.empty(MOST, np.int64), MOST, i  # the words of c, from the end of the array
        while True:
            at -= 1
            context[at] = word[node]
            if node < V:
                break
            node = parent[node - V]
        shorter = context[at + 1 :]
        nodes, lengths, left = np.empty(shorter.size, np.int64), np.empty(shorter.size, np.int64), np.empty(shorter.size)
        count = seen_contexts(shorter, word, first, ranks.left, False, nodes, lengths)
        for l in range(count):
            left[l] = ranks.left[nodes[l]]
        for j in range(first[i], first[i + 1]):
            low[j] = probability(word[j], nodes[:count], left[:count], word, first, ranks)


def trie(orders, V):
    """The trie of n-grams given in any order.  orders: for each n from 2 on, its n-grams (K,n), sorted in place

    -> word, first, and the order in which the n-grams of each n are sorted.  Raises LookupError with (n, row): a context that is not
    listed, or an n-gram that is listed twice.
    """
    words, firsts, sortings, nodes, begin = [np.arange(V, dtype=np.int32)], [np.array([V], np.int32)], [], V, 0
    for ids in orders:
        size = nodes - begin
        parents = ids[:, 0].astype(np.int64)
        word, first = np.concatenate(words), np.concatenate(firsts)
        if ids.shape[1] > 2:
            find_all(np.ascontiguousarray(ids[:, :-1]), word, first, parents)
            if (parents < 0).any():
                raise LookupError(ids.shape[1], int(np.argmin(parents >= 0)), "has a context that is not listed")
        order = np.lexsort((ids[:, -1], parents))
        parents, last = parents[order], ids[order, -1]
        twice = np.flatnonzero((parents[1:] == parents[:-1]) & (last[1:] == last[:-1]))
        if len(twice):
            raise LookupError(ids.shape[1], int(order[twice[0] + 1]), "is listed twice")
        extensions = np.bincount(parents - begin, minlength=size)
        firsts.append((nodes + np.cumsum(extensions)).astype(np.int32))
        words.append(last.astype(np.int32))
        sortings.append(order)
        begin, nodes = nodes, nodes + len(ids)
    return np.concatenate(words), np.concatenate(firsts), sortings


@kernel
def find_all(ids, word, first, nodes):
    """The node of each n-gram, -1 if it is not in the trie.  ids (K,n)"""
    for k in range(len(ids)):
        i = ids[k, 0]
        for n in range(1, ids.shape[1]):
            j = find(word, first[i], first[i + 1], ids[k, n])
            if j == first[i + 1] or word[j] != ids[k, n]:
                i = -1
                break
            i = j
        nodes[k] = i
