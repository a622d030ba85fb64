"""The n-grams of a text as a trie in three sorted arrays, with the count of each.

Nodes are stored order by order; n-grams that extend the same context are adjacent, sorted by their last words:

    word (M,)     the last word of each n-gram; the first V nodes are all words, whether they occur in the text or not
    count (M,)    how often it occurs in the text, or, for all orders but the highest, how many different words precede it
    first (I+1,)  the nodes from first[i] to first[i+1] extend n-gram i; none extend those of the highest order

A text begins with an end of line, which is read but not counted. M and N may be up to 2³¹.
"""

import numpy as np

from nlmcli.nn.kernel import kernel


def join_texts(texts, newline):
    """All texts joined, each preceded by an end of line: tokens (N,), and the position of each in its text (N,)."""
    tokens = np.concatenate([part for ids in texts for part in (np.array([newline], np.int32), ids)], dtype=np.int32)
    lengths = np.array([1 + len(ids) for ids in texts])
    position = np.arange(len(tokens), dtype=np.int32)
    position -= np.repeat(position[np.cumsum(lengths) - lengths], lengths)
    return tokens, position


def build_trie(tokens, position, order, V, continuation):
    """All n-grams of the texts up to this order: word (M,), the counts of each order, first (I+1,).

    continuation: below the highest order, count the different words that precede an n-gram; each beginning of a text is one more.
    An n-gram's number is its index among the sorted n-grams of its order; the next order is sorted by number · V + word.
    """
    words, counts, firsts = [np.arange(V)], [np.bincount(tokens[position > 0], minlength=V)], [np.array([V])]
    number = tokens  # number of the n-gram that ends at each token
    for n in range(2, order + 1):
        size = len(words[-1])
        keys = np.full(len(tokens), -1)  # -1 at positions with fewer than n tokens
        np.multiply(number[:-1], V, out=keys[1:], dtype=np.int64)
        keys += tokens
        keys[position < n - 1] = -1
        keys, index, times, next_number = unique_in_place(keys)
        if continuation:
            starts = number[(position == n - 2) & (position > 0)]
            counts[-1] = (np.bincount(number[index], minlength=size) + np.bincount(starts, minlength=size)).astype(np.int32)
        firsts.append((sum(map(len, words)) + np.cumsum(np.bincount(keys // V, minlength=size))).astype(np.int32))
        words.append((keys % V).astype(np.int32))
        counts.append(times)
        number = next_number
    return np.concatenate(words, dtype=np.int32), counts, np.concatenate(firsts, dtype=np.int32)


def unique_in_place(keys):
    """The unique keys in order, the index of one occurrence of each, their counts, and the number of every key among them.

    At least one key must be -1, which stands for no key and is numbered -1. Sorts the keys in place: np.unique does the same
    in twice the memory.  keys (N,) -> (K,), (K,), (K,), (N,)
    """
    order = np.argsort(keys)
    keys[:] = keys[order]
    new = np.concatenate([[True], keys[1:] != keys[:-1]])
    number = np.empty(len(keys), np.int32)
    number[order] = np.cumsum(new, dtype=np.int32) - 2
    starts = np.flatnonzero(new)
    times = np.diff(starts, append=len(keys)).astype(np.int32)
    return keys[starts[1:]], order[starts[1:]], times[1:], number


def is_valid_trie(word, count, first, order, V):
    """Whether the arrays form a trie as `build_trie` returns it: kernels follow its indices without bounds checks."""
    if not (word.ndim == count.ndim == first.ndim == 1 and len(word) == len(count) and len(first) and first[0] == V):
        return False
    inner, nodes = 0, V  # number of nodes below the current order, and up to it
    for _ in range(order - 1):
        if nodes >= len(first):
            return False
        inner, nodes = nodes, int(first[nodes])
    in_order = np.all(np.diff(first) >= 0) and np.array_equal(word[:V], np.arange(V))
    return bool(in_order and (len(first) - 1, len(word)) == (inner, nodes) and np.all((word >= 0) & (word < V) & (count >= 0)))


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
