"""Kernels that build the trie of ngrams.py from blocks of a text that does not fit into memory.

A record is what is known of an n-gram that ends at position t:

    (c, w, t, s)    c: number of its context;  w: its last word;  s: number of the n-gram one word shorter that ends at t

Sorted by (c, w), the records of a range of contexts give the words, counts and numbers of their n-grams.
"""

import numpy as np

from nlmcli.nn.kernel import kernel


@kernel
def count_contexts(number, position, before, n, shift, histogram):
    """histogram[c >> shift] += the n-grams that end in this block after context c.  before: the number at the position before it"""
    for k in range(number.size):
        if position[k] >= n - 1:
            histogram[before >> shift] += 1
        before = number[k]


@kernel
def records_by_chunk(tokens, number, position, before, start, n, shift, chunk_of, chunks):
    """The records of a block, by chunk and then by position; where each chunk's end; the numbers at the beginnings of texts.

    start: position of the block;  chunk_of: the chunk of each bucket of contexts  -> (K,4), (chunks,), (B,)
    """
    place, begun, last = np.zeros(chunks + 1, np.int64), 0, before
    for k in range(number.size):
        if position[k] >= n - 1:
            place[chunk_of[last >> shift] + 1] += 1
        elif position[k] == n - 2 and position[k] > 0:
            begun += 1
        last = number[k]
    for chunk in range(chunks):
        place[chunk + 1] += place[chunk]
    records, beginnings, last, at = np.empty((place[chunks], 4), np.int32), np.empty(begun, np.int32), before, 0
    for k in range(number.size):
        if position[k] >= n - 1:
            chunk = chunk_of[last >> shift]
            record = records[place[chunk]]
            record[0], record[1], record[2], record[3] = last, tokens[k], start + k, number[k]
            place[chunk] += 1
        elif position[k] == n - 2 and position[k] > 0:
            beginnings[at] = number[k]
            at += 1
        last = number[k]
    return records, place[:chunks], beginnings


@kernel
def sorted_records(records, first, contexts, V):
    """The order of the records by context, then by word, then by position.  contexts: how many there are from `first` on"""
    by_word, order = np.empty(len(records), np.int32), np.empty(len(records), np.int32)
    place = np.zeros(V + 1, np.int64)
    for k in range(len(records)):
        place[records[k, 1] + 1] += 1
    for v in range(V):
        place[v + 1] += place[v]
    for k in range(len(records)):
        by_word[place[records[k, 1]]] = k
        place[records[k, 1]] += 1
    place = np.zeros(contexts + 1, np.int64)
    for k in range(len(records)):
        place[records[k, 0] - first + 1] += 1
    for c in range(contexts):
        place[c + 1] += place[c]
    for i in range(len(records)):
        c = records[by_word[i], 0] - first
        order[place[c]] = by_word[i]
        place[c] += 1
    return order


@kernel
def number_records(records, order, first, contexts, numbered):
    """Number the n-grams of sorted records, from `numbered` on; t and s of each record become the number of its n-gram.

    -> word, times, shorter (K,): of each n-gram; extensions (contexts,): of each context
    """
    word, times, shorter = np.empty(len(records), np.int32), np.empty(len(records), np.int32), np.empty(len(records), np.int32)
    extensions = np.zeros(contexts, np.int32)
    K, context, last = 0, -1, -1
    for i in range(len(records)):
        record = records[order[i]]
        if record[0] != context or record[1] != last:
            context, last = record[0], record[1]
            word[K], times[K], shorter[K] = last, 0, record[3]
            extensions[context - first] += 1
            K += 1
        times[K - 1] += 1
        record[3] = numbered + K - 1
    return word[:K], times[:K], shorter[:K], extensions


@kernel
def write_numbers(pairs, start, number):
    """number[t - start] = the number of the n-gram that ends at t.  pairs (K,2): t, number"""
    for k in range(len(pairs)):
        number[pairs[k, 0] - start] = pairs[k, 1]


@kernel
def add_counts(ids, start, counts):
    """counts[i - start] += 1 for all ids."""
    for k in range(ids.size):
        counts[ids[k] - start] += 1
