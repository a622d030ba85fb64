"""The n-grams of a text as a tree in three sorted arrays, and how often each stands there.

Node by node, order by order, those of one context side by side in the order of their last words:

    word (M,)     the last word of each n-gram; the first V nodes are all words, in the text or not
    count (M,)    how often it stands in the text, or, of all orders but the highest, how many words stand before it
    first (I+1,)  n-gram i is continued by those from first[i] to first[i+1]; those of the highest order by none

A text begins with a line end, which is read and not counted. M and N may be up to 2³¹.
"""

import numpy as np

from nlmcli.nn.kernel import kernel


def side_by_side(texts, newline):
    """All texts after each other, a line end before each: tokens (N,), and where in its text each stands (N,)."""
    tokens = np.concatenate([part for ids in texts for part in (np.array([newline], np.int32), ids)], dtype=np.int32)
    lengths = np.array([1 + len(ids) for ids in texts])
    place = np.arange(len(tokens), dtype=np.int32)
    place -= np.repeat(place[np.cumsum(lengths) - lengths], lengths)
    return tokens, place


def tree(tokens, place, order, V, before):
    """All n-grams of the texts up to that order: word (M,), the counts of each order, first (I+1,).

    before: count the words before all that are not of the highest order; the beginning of a text is one more each time.
    An n-gram's number is its place in the sorted list of its order; longer ones are sorted as number V + word.
    """
    words, counts, firsts = [np.arange(V)], [np.bincount(tokens[place > 0], minlength=V)], [np.array([V])]
    number = tokens  # of the n-gram that ends at each token
    for n in range(2, order + 1):
        size = len(words[-1])
        keys = np.full(len(tokens), -1)  # -1 where the text is shorter
        np.multiply(number[:-1], V, out=keys[1:], dtype=np.int64)
        keys += tokens
        keys[place < n - 1] = -1
        keys, some, times, longer = distinct(keys)
        if before:
            begins = number[(place == n - 2) & (place > 0)]
            counts[-1] = (np.bincount(number[some], minlength=size) + np.bincount(begins, minlength=size)).astype(np.int32)
        firsts.append((sum(map(len, words)) + np.cumsum(np.bincount(keys // V, minlength=size))).astype(np.int32))
        words.append((keys % V).astype(np.int32))
        counts.append(times)
        number = longer
    return np.concatenate(words, dtype=np.int32), counts, np.concatenate(firsts, dtype=np.int32)


def distinct(keys):
    """The distinct keys in order, where one of each stands, how many there are of each, and each key's number among them.

    A key of -1, of which there is one at least, is none, and its number is -1. The keys are sorted in place: np.unique does
    the same in twice the memory.  keys (N,) -> (K,), (K,), (K,), (N,)
    """
    order = np.argsort(keys)
    keys[:] = keys[order]
    new = np.concatenate([[True], keys[1:] != keys[:-1]])
    number = np.empty(len(keys), np.int32)
    number[order] = np.cumsum(new, dtype=np.int32) - 2
    starts = np.flatnonzero(new)
    times = np.diff(starts, append=len(keys)).astype(np.int32)
    return keys[starts[1:]], order[starts[1:]], times[1:], number


def is_tree(word, count, first, order, V):
    """Whether the arrays are what `tree` makes: a kernel reads where they say, and must not be led astray."""
    if not (word.ndim == count.ndim == first.ndim == 1 and len(word) == len(count) and len(first) and first[0] == V):
        return False
    inner, nodes = 0, V  # of orders below the one at hand, and with it
    for _ in range(order - 1):
        if nodes >= len(first):
            return False
        inner, nodes = nodes, int(first[nodes])
    sorted_out = np.all(np.diff(first) >= 0) and np.array_equal(word[:V], np.arange(V))
    return bool(sorted_out and (len(first) - 1, len(word)) == (inner, nodes) and np.all((word >= 0) & (word < V) & (count >= 0)))


@kernel
def find(context, word, first):
    """The node of these words; -1 where the text has them not."""
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
