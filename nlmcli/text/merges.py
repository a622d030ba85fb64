"""Byte-pair encoding: learn merges from the words of a text, and apply them.  Sennrich et al. 2016.

A word is an array of ids, initially one per byte.  Learning: repeatedly replace the most frequent pair of adjacent ids by
a new id; ties go to the pair with the smaller ids.  Applying: repeatedly merge the pair that was learned first, leftmost
first.

Unless a merge crosses its ends, a run of bytes is merged the same way wherever it occurs; so no two learned pairs produce
the same token.

A pair is one integer, left · 2³² + right.  Word w is the bytes store[bounds[w] : bounds[w + 1]].
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
def learn_bpe(store, bounds, counts, alphabet, vocab_size, min_count):
    """The pairs to merge, in order, until there are vocab_size tokens or no pair occurs min_count times.

    counts: the count of each word in the text.  alphabet (256,): the bytes by id.
    """
    ids, lengths = np.argsort(alphabet).astype(np.int32)[store[: bounds[-1]]], np.diff(bounds)
    # The words with each pair are a linked list: a node is a word and the index of the pair's next node, heads has the first.
    no_pair, no_node = np.int64(NONE), np.int32(NONE)  # no_pair never occurs; it sets the types of the empty containers
    pair_counts, heads, nodes = {no_pair: np.int64(0)}, {no_pair: no_node}, [(no_node, no_node)]
    for w in range(len(lengths)):
        for i in range(bounds[w], bounds[w + 1] - 1):
            add_pair(pair_of(ids[i], ids[i + 1]), counts[w], w, pair_counts, heads, nodes)
    heap, merges = [(np.int64(0), no_pair, no_node)], [no_pair for _ in range(0)]
    while heap and len(alphabet) + len(merges) < vocab_size:
        for pair, node in heads.items():
            heapq.heappush(heap, (-pair_counts[pair], pair, node))
        heads = {no_pair: no_node}
        minus_count, pair, node = heapq.heappop(heap)
        if minus_count != -pair_counts[pair]:  # its count has decreased since it was pushed
            heads[pair] = node
            continue
        if -minus_count < min_count:
            break
        left, right, new = pair >> 32, pair & 0xFFFFFFFF, len(alphabet) + len(merges)
        merges.append(pair)
        while node != NONE:
            w, node = nodes[node]  # type: ignore[assignment]
            word = ids[bounds[w] : bounds[w] + lengths[w]]
            lengths[w] = merge_pair(word, left, right, new, counts[w], w, pair_counts, heads, nodes)
    return np.array(merges, dtype=np.int64)


@kernel
def add_pair(pair, count, w, pair_counts, heads, nodes):
    """Add the occurrences of a pair in word w to its count, and the word to its list."""
    if pair not in pair_counts:
        pair_counts[pair] = 0
    if pair not in heads:
        heads[pair] = np.int32(NONE)
    pair_counts[pair] += count
    node = heads[pair]
    if node == NONE or nodes[node][0] != w:
        heads[pair] = np.int32(len(nodes))
        nodes.append((np.int32(w), node))


@kernel
def merge_pair(word, left, right, new, count, w, pair_counts, heads, nodes):
    """Merge every occurrence of a pair in word w, in place, and update the pair counts.  -> the new length."""
    size = i = 0
    while i < len(word):
        if i + 1 < len(word) and word[i] == left and word[i + 1] == right:
            if size:
                pair_counts[pair_of(word[size - 1], left)] -= count
                add_pair(pair_of(word[size - 1], new), count, w, pair_counts, heads, nodes)
            if i + 2 < len(word):
                pair_counts[pair_of(right, word[i + 2])] -= count
                add_pair(pair_of(new, word[i + 2]), count, w, pair_counts, heads, nodes)
            word[size], i = new, i + 2
        else:
            word[size], i = word[i], i + 1
        size += 1
    return size


@kernel
def apply_bpe(store, bounds, first, byte_ids, pairs, ranks, merged_ids):
    """The concatenated ids of the words from number `first` on, and how many each has.

    byte_ids (256,): the id of each byte.  pairs, in ascending order, their ranks and merged ids.
    """
    ids, lengths = byte_ids[store[bounds[first] : bounds[-1]]], np.empty(len(bounds) - 1 - first, np.int64)
    size = 0
    for w in range(len(lengths)):
        word = ids[bounds[first + w] - bounds[first] : bounds[first + w + 1] - bounds[first]]
        lengths[w] = merge_word(word, pairs, ranks, merged_ids)
        ids[size : size + lengths[w]] = word[: lengths[w]]
        size += lengths[w]
    return ids[:size], lengths


@kernel
def merge_word(word, pairs, ranks, merged_ids):
    """Apply all merges to a word, in place.  -> the new length."""
    before, after = np.arange(-1, len(word) - 1), np.arange(1, len(word) + 1)
    heap = [(np.int64(0), np.int64(0)) for _ in range(0)]  # rank, position
    for start in range(len(word) - 1):
        push_pair(start, word, after, pairs, ranks, heap)
    while heap:
        rank, i = heapq.heappop(heap)
        k = find_pair(i, word, after, pairs)
        if k == NONE or ranks[k] != rank:
            continue
        right = after[i]
        word[i], word[right], after[i] = merged_ids[k], NONE, after[right]
        if after[i] < len(word):
            before[after[i]] = i
            push_pair(i, word, after, pairs, ranks, heap)
        if before[i] >= 0:
            push_pair(before[i], word, after, pairs, ranks, heap)
    size = 0
    for start in range(len(word)):
        if word[start] != NONE:
            word[size] = word[start]
            size += 1
    return size


@kernel
def find_pair(i, word, after, pairs):
    """The index in `pairs` of the pair that begins at position i, or NONE."""
    if word[i] == NONE or after[i] == len(word):
        return NONE
    pair = pair_of(word[i], word[after[i]])
    k = np.searchsorted(pairs, pair)
    return k if k < len(pairs) and pairs[k] == pair else NONE


@kernel
def push_pair(i, word, after, pairs, ranks, heap):
    """Push the pair that begins at position i onto the heap if it can be merged."""
    k = find_pair(i, word, after, pairs)
    if k != NONE:
        heapq.heappush(heap, (ranks[k], np.int64(i)))
