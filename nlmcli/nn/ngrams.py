"""The n-grams of a text as a trie in three sorted arrays, with the count of each.

Nodes are stored order by order; n-grams that extend the same context are adjacent, sorted by their last words:

    word (M,)     the last word of each n-gram; the first V nodes are all words, whether they occur in the text or not
    count (M,)    how often it occurs in the text, or, for all orders but the highest, how many different words precede it
    first (I+1,)  the nodes from first[i] to first[i+1] extend n-gram i; none extend those of the highest order

A text begins with an end of line, which is read but not counted. M and N may be up to 2³¹.
"""

import numpy as np

from nlmcli.nn.kernel import kernel
from nlmcli.nn.mapped import chunks


def join_texts(texts, newline, order):
    """All texts joined, each preceded by an end of line: tokens (N,), and the position of each in its text, at most `order` (N,)."""
    size = len(texts) + sum(map(len, texts))
    tokens, position = np.empty(size, np.int32), np.empty(size, np.int8 if order < 128 else np.int32)
    at = 0
    for ids in texts:
        end = at + 1 + len(ids)
        tokens[at], tokens[at + 1 : end] = newline, ids
        position[at:end] = order
        begin = min(order, end - at)
        position[at : at + begin] = np.arange(begin)
        at = end
    return tokens, position


def build_trie(tokens, position, order, V, continuation):
    """All n-grams of the texts up to this order: word (M,), the counts of each order, first (I+1,).

    continuation: below the highest order, count the different words that precede an n-gram; each beginning of a text is one more.
    An n-gram's number is its index among the sorted n-grams of its order. n-grams are sorted by their last words once and for
    all, and for each order by the number of their contexts, both by counting: in linear time, and in 17 bytes a token.
    """
    words, counts, firsts = [np.arange(V, dtype=np.int32)], [np.bincount(tokens[position > 0], minlength=V)], [np.array([V])]
    by_word, number, nodes = positions_by_word(tokens, V), tokens.copy(), V  # number: of the n-gram that ends at each token
    for n in range(2, order + 1):
        size = len(words[-1])
        preceded = beginnings(number, position, n, size)
        by, ends = positions_by_context(by_word, number, position, n, size)
        word, times, extensions = number_ngrams(by, ends, tokens, number, preceded)
        del by, ends  # before the next ones are made
        if continuation:
            counts[-1] = preceded
        nodes += len(word)
        firsts.append((nodes - len(word) + np.cumsum(extensions, dtype=np.int64)).astype(np.int32))
        words.append(word)
        counts.append(times)
    return joined(words), counts, joined(firsts)


def joined(parts):
    """The parts as one array of int32; each is released when it has been copied."""
    whole, at = np.empty(sum(map(len, parts)), np.int32), 0
    while parts:
        part = parts.pop(0)
        whole[at : at + len(part)] = part
        at += len(part)
    return whole


@kernel
def positions_by_word(tokens, V):
    """All positions, sorted by their words, positions of the same word in order.  tokens (N,) -> (N,)"""
    place, by = np.zeros(V + 1, np.int64), np.empty(tokens.size, np.int32)
    for t in range(tokens.size):
        place[tokens[t] + 1] += 1
    for v in range(V):
        place[v + 1] += place[v]
    for t in range(tokens.size):
        by[place[tokens[t]]] = t
        place[tokens[t]] += 1
    return by


@kernel
def positions_by_context(by_word, number, position, n, size):
    """The positions at which an n-gram ends, sorted by the number of its context, then by its last word; the end of each context's.

    number: of the n-gram of n-1 words that ends at each position; size: how many there are.  -> (K,), (size,)
    """
    place, found = np.zeros(size + 1, np.int32), 0
    for t in range(1, number.size):
        if position[t] >= n - 1:
            place[number[t - 1] + 1] += 1
            found += 1
    for c in range(size):
        place[c + 1] += place[c]
    by = np.empty(found, np.int32)
    for k in range(by_word.size):
        t = by_word[k]
        if position[t] >= n - 1:
            c = number[t - 1]
            by[place[c]] = t
            place[c] += 1
    return by, place[:size]


@kernel
def number_ngrams(by, ends, tokens, number, preceded):
    """Number the n-grams that end at the sorted positions `by`, of which context c has those up to ends[c].

    number (N,): of the n-grams one word shorter, becomes that of these.  preceded: += how many of these end with each shorter one
    -> word, times (K,): of each n-gram; extensions (size,): of each context
    """
    word, times = np.empty(by.size, np.int32), np.empty(by.size, np.int32)  # only what is used of them takes up memory
    extensions = np.zeros(ends.size, np.int32)
    K, k = 0, 0
    for c in range(ends.size):
        last = -1
        while k < ends[c]:
            t = by[k]
            if tokens[t] != last:
                last = tokens[t]
                word[K], times[K] = last, 0
                extensions[c] += 1
                preceded[number[t]] += 1
                K += 1
            times[K - 1] += 1
            number[t] = K - 1
            k += 1
    return word[:K], times[:K], extensions


@kernel
def beginnings(number, position, n, size):
    """How many texts begin with each n-gram of n-1 words: what precedes it there is one more different word.  -> (size,)"""
    found = np.zeros(size, np.int32)
    for t in range(number.size):
        if position[t] == n - 2 and position[t] > 0:
            found[number[t]] += 1
    return found


def is_valid_trie(word, count, first, order, V):
    """Whether the arrays form a trie as `build_trie` returns it: kernels follow its indices without bounds checks."""
    if not (word.ndim == count.ndim == first.ndim == 1 and len(word) == len(count) and len(first) and first[0] == V):
        return False
    inner, nodes = 0, V  # number of nodes below the current order, and up to it
    for _ in range(order - 1):
        if nodes >= len(first):
            return False
        inner, nodes = nodes, int(first[nodes])
    if (len(first) - 1, len(word)) != (inner, nodes) or not np.array_equal(word[:V], np.arange(V)):
        return False
    in_order = all(np.all(np.diff(part) >= 0) for part in chunks(first, overlap=1))
    return in_order and all(part.min() >= 0 and part.max() < V for part in chunks(word)) and all(part.min() >= 0 for part in chunks(count))


@kernel
def find_node(context, word, first):
    """The node of this n-gram; -1 if it does not occur in the text."""
    i = context[0]
    for w in context[1:]:
        low, high = first[i], first[i + 1]
        while low < high:
            middle = (low + high) // 2
            if word[middle] < w:
                low = middle + 1
            else:
                high = middle
        if low == first[i + 1] or word[low] != w:
            return -1
        i = low
    return i


def longest_seen(word, first, contexts, targets):
    """How many of the last words of each context there are in an n-gram with its target.  contexts (N,n-1), targets (N,) -> (N,)

    Negative ids precede the beginning of a text.
    """
    seen = np.zeros(len(targets), np.int64)
    for t, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        usable = len(context) - int(np.flatnonzero(context < 0).max(initial=-1)) - 1
        lengths = (n for n in range(usable, 0, -1) if find_node(np.append(context[len(context) - n :], target), word, first) >= 0)
        seen[t] = next(lengths, 0)
    return seen
