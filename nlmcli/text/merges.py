"""Byte-pair encoding: learning merges from the words of a text, and applying them.  Sennrich et al. 2016.

A word is a row of ids, at first one for each byte.  Learning: again and again the pair of neighbours that is the most
frequent becomes a new id; of equals, the pair with the smaller ids.  Applying: again and again the pair that was learned
first is merged, the leftmost of several.

As long as no merge crosses its ends, a stretch of bytes is merged in the same way wherever it stands; so no two of the
pairs that are learned make the same token.

A pair is one number, left · 2³² + right.  Word w is store[bounds[w] : bounds[w + 1]], bytes.
"""

from __future__ import annotations

import heapq

import numpy as np

from nlmcli.nn.kernel import kernel

NONE = -1


@kernel
def pair_of(left, right):
    return np.int64(left) << 32 | np.int64(right)


@kernel
def learn(store, bounds, counts, alphabet, vocab_size, min_count):
    """The pairs to merge, in order, until there are vocab_size tokens or no pair is seen min_count times.

    counts: how often each word stands in the text.  alphabet (256,): the bytes, by their ids.
    """
    ids, lengths = np.argsort(alphabet).astype(np.int32)[store[: bounds[-1]]], np.diff(bounds)
    # How often each pair stands in the text. A node is a word that holds a pair, and the pair's node before it.
    none, no_node = np.int64(NONE), np.int32(NONE)  # a pair that is never seen; it gives what is still empty its type
    how_often, newest, nodes = {none: np.int64(0)}, {none: no_node}, [(no_node, no_node)]
    for w in range(len(lengths)):
        for i in range(bounds[w], bounds[w + 1] - 1):
            count(pair_of(ids[i], ids[i + 1]), counts[w], w, how_often, newest, nodes)
    heap, merges = [(np.int64(0), none, no_node)], [none for _ in range(0)]
    while heap and len(alphabet) + len(merges) < vocab_size:
        for pair, node in newest.items():
            heapq.heappush(heap, (-how_often[pair], pair, node))
        newest = {none: no_node}
        minus_count, pair, node = heapq.heappop(heap)
        if minus_count != -how_often[pair]:  # it has become rarer since it was put there
            newest[pair] = node
            continue
        if -minus_count < min_count:
            break
        left, right, new = pair >> 32, pair & 0xFFFFFFFF, len(alphabet) + len(merges)
        merges.append(pair)
        while node != NONE:
            w, node = nodes[node]  # type: ignore[assignment]
            word = ids[bounds[w] : bounds[w] + lengths[w]]
            lengths[w] = merge(word, left, right, new, counts[w], w, how_often, newest, nodes)
    return np.array(merges, dtype=np.int64)


@kernel
def count(pair, times, w, how_often, newest, nodes):
    """Count a pair that stands in word w, and remember the word."""
    if pair not in how_often:
        how_often[pair] = 0
    if pair not in newest:
        newest[pair] = np.int32(NONE)
    how_often[pair] += times
    node = newest[pair]
    if node == NONE or nodes[node][0] != w:
        newest[pair] = np.int32(len(nodes))
        nodes.append((np.int32(w), node))


@kernel
def merge(word, left, right, new, times, w, how_often, newest, nodes):
    """Merge a pair wherever it stands in word w, in place, and count the pairs anew.  -> how many ids are left."""
    size = i = 0
    while i < len(word):
        if i + 1 < len(word) and word[i] == left and word[i + 1] == right:
            if size:
                how_often[pair_of(word[size - 1], left)] -= times
                count(pair_of(word[size - 1], new), times, w, how_often, newest, nodes)
            if i + 2 < len(word):
                how_often[pair_of(right, word[i + 2])] -= times
                count(pair_of(new, word[i + 2]), times, w, how_often, newest, nodes)
            word[size], i = new, i + 2
        else:
            word[size], i = word[i], i + 1
        size += 1
    return size


@kernel
def apply(store, bounds, first, of_byte, pairs, ranks, news):
    """The ids of the words from number `first` on, in a row, and how many each has.

    of_byte (256,): the id of each byte.  pairs, in ascending order, their ranks and the ids they make
    """
    ids, lengths = of_byte[store[bounds[first] : bounds[-1]]], np.empty(len(bounds) - 1 - first, np.int64)
    size = 0
    for w in range(len(lengths)):
        word = ids[bounds[first + w] - bounds[first] : bounds[first + w + 1] - bounds[first]]
        lengths[w] = merge_all(word, pairs, ranks, news)
        ids[size : size + lengths[w]] = word[: lengths[w]]
        size += lengths[w]
    return ids[:size], lengths


@kernel
def merge_all(word, pairs, ranks, news):
    """Merge, in place, whatever there is to merge in a word.  -> how many ids are left."""
    before, after = np.arange(-1, len(word) - 1), np.arange(1, len(word) + 1)
    heap = [(np.int64(0), np.int64(0)) for _ in range(0)]  # rank, where
    for start in range(len(word) - 1):
        offer(start, word, after, pairs, ranks, heap)
    while heap:
        rank, i = heapq.heappop(heap)
        k = known(i, word, after, pairs)
        if k == NONE or ranks[k] != rank:
            continue
        gone = after[i]
        word[i], word[gone], after[i] = news[k], NONE, after[gone]
        if after[i] < len(word):
            before[after[i]] = i
            offer(i, word, after, pairs, ranks, heap)
        if before[i] >= 0:
            offer(before[i], word, after, pairs, ranks, heap)
    size = 0
    for start in range(len(word)):
        if word[start] != NONE:
            word[size] = word[start]
            size += 1
    return size


@kernel
def known(i, word, after, pairs):
    """Which of the pairs is the one that begins at i; NONE for none."""
    if word[i] == NONE or after[i] == len(word):
        return NONE
    pair = pair_of(word[i], word[after[i]])
    k = np.searchsorted(pairs, pair)
    return k if k < len(pairs) and pairs[k] == pair else NONE


@kernel
def offer(i, word, after, pairs, ranks, heap):
    """Put the pair that begins at i on the heap, if it may be merged."""
    k = known(i, word, after, pairs)
    if k != NONE:
        heapq.heappush(heap, (ranks[k], np.int64(i)))
