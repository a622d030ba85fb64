"""The n-gram model: no network, but smoothed counts of each word after the n-1 words before it.

    p(w|c) = (a(cw) - D(a(cw))) / a(c) + γ(c) p(w|c');    γ(c) = Σ_w D(a(cw)) / a(c);    a(c) = Σ_w a(cw)

Interpolated modified Kneser-Ney smoothing (Kneser & Ney 1995, Chen & Goodman 1998). c' is c without its first word; the
empty context interpolates with 1/V. a is the count of an n-gram of the highest order, and of a shorter one the number of
different words that precede it: Francisco may be frequent, but it follows little else than San. The beginning of a text
is a different word each time. D discounts counts of 1, 2, and 3 or more, for each order: with n_i n-grams of a = i,

    D(i) = i - (i + 1) Y n_{i+1} / n_i;    Y = n_1 / (n_1 + 2 n_2)

and no n-gram is pruned. With --add-k X, additive smoothing takes its place; Laplace's (1814) for X = 1:

    p(w|c) = (n(cw) + k u(w)) / (n(c) + k);    k = X V

V is the number of types in the text, and u is 1/V for each of them; types that are not in it, if any, share 1/(N+1) of
u, N the number of tokens (method A, Cleary & Witten 1984). After a context that is not in the text, p = u.
"""

import re
from dataclasses import dataclass

import numpy as np

from nlmcli.errors import InputError
from nlmcli.models import base
from nlmcli.models.base.ngrams import NGrams, Trie
from nlmcli.nn.kernel import kernel
from nlmcli.nn.mapped import chunks, release
from nlmcli.nn.ngram_ranks import interpolated, mass, rank_ngrams, score_by_ranks, seen_contexts, sorted_words
from nlmcli.nn.ngram_seen import nothing_known, score_by_counting
from nlmcli.nn.ngrams import build_trie, is_valid_trie, join_texts, joined
from nlmcli.options import option

ADD_K = "Additive smoothing: X is added to every count (1: Laplace, 0: no smoothing)."
MEMORY = "Count on disk within this much memory, such as 2G, and read of the model only what is needed."
UNITS = {"M": 10**6, "G": 10**9}
LEAST_MEMORY = 10**6
TOUCHED = 2  # words scored between two releases of the memory of counts in a file: the system may map a megabyte around each number
RANKED = 100_000_000  # n-grams whose ranks, 32 bytes for each, are kept in memory
DISCOUNT_FALLBACK = (0.5, 1.0, 1.5)  # discounts if there are too few n-grams to estimate them


@dataclass(frozen=True)
class Config:
    context: int = base.context(5)
    add_k: float | None = option(None, ADD_K, "X", least=0, default_text="Kneser-Ney smoothing")
    memory: str | None = option(None, MEMORY, "SIZE", default_text="as much as it takes")

    def __post_init__(self):
        bytes_of(self.memory)


def bytes_of(memory):
    """The bytes of a size such as 500M or 2G; None if it is not given.  Raises InputError for anything else."""
    if memory is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([MG])B?", memory.strip(), re.IGNORECASE)
    size = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if size < LEAST_MEMORY:
        raise InputError(f"--memory {memory} is no size of memory; give one such as 500M or 2G")
    return size


class Counts(Trie):
    """The trie of n-grams (word, count, first), and D of 0, 1, 2, and 3 or more for each order (n,4). `flat` is the counts."""

    def __init__(self, word, count, first, discount):
        super().__init__(count, word=word, count=count, first=first, discount=discount)


class NGram(NGrams):
    """State and h are those of every n-gram model (base/ngrams.py); there is nothing to train."""

    Config = Config

    def count(self, texts):
        kneser_ney = self.config.add_k is None
        tokens, position = join_texts(texts, self.newline, self.config.context)
        word, counts, first = build_trie(tokens, position, self.config.context, self.V, continuation=kneser_ney)
        discount = [discounts(count) if kneser_ney else np.zeros(4) for count in counts]
        return Counts(word, joined(counts), first, np.array(discount))

    def counts_in_files(self, word, count, first, sizes):
        """The same, from arrays in files.  sizes: the number of n-grams of each order"""
        ends = np.cumsum(sizes)
        orders = [count[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        discount = [discounts(part) if self.config.add_k is None else np.zeros(4) for part in orders]
        return Counts(word, count, first, np.array(discount))

    def restore(self, arrays):
        n = self.config.context
        word, count, first, discount = (arrays.get(name, np.empty(0)) for name in ("word", "count", "first", "discount"))
        typed = word.dtype == count.dtype == first.dtype == np.int32 and discount.dtype == np.float64
        if not typed or discount.shape != (n, 4) or not is_valid_trie(word, count, first, n, self.V):
            raise InputError(f"no counts of the {n}-grams of {self.V} types")
        return Counts(word, count, first, discount)

    def score_rows(self, P, h, targets, excluded=-1):
        h, p, rank = np.ascontiguousarray(h), np.empty(len(h)), np.empty(len(h), np.int32)
        if P.count.size <= RANKED and self.config.add_k != 0 and self.config.memory is None:
            longest_only, ranks = self.config.add_k is not None, P.once("ranks", lambda: rank_ngrams(*self.prediction_arguments(P)))
            score_by_ranks(h, targets, excluded, P.word, P.first, longest_only, ranks, p, rank)
        else:
            arguments = self.prediction_arguments(P)
            lowest = P.once("lowest", lambda: sorted_words(arguments[-1]))
            order, after = np.lexsort(h.T) if h.size else np.arange(len(h)), nothing_known(h.shape[1], self.V)
            for start in range(0, len(h), TOUCHED):
                score_by_counting(h, targets, order[start : start + TOUCHED], excluded, *arguments, lowest, after, p, rank)
                release(P.word, P.count, P.first)
        with np.errstate(divide="ignore"):  # without smoothing, unseen n-grams have probability 0
            return -np.log(p), rank

    def logits(self, P, h):
        p = self.probabilities(P, h)
        with np.errstate(divide="ignore"):
            return np.log(p, out=p)

    def probabilities(self, P, h):
        """p(w|c) of all words after each context.  h (N,n-1) -> (N,V)"""
        p = np.empty((len(h), self.V))
        predict_all(np.ascontiguousarray(h), *self.prediction_arguments(P), p)
        release(P.word, P.count, P.first)
        return p

    def longest_seen(self, P, contexts, targets):
        """How many of the last words of each context occur with its target, (N,); -1 if the target itself does not."""
        seen = super().longest_seen(P, contexts, targets)
        seen[(seen == 0) & (P.count[targets] == 0)] = -1
        return seen

    def prediction_arguments(self, P):
        """The arguments of `predict`: the trie, the discounts, k, whether only the longest context counts, and p without one (V,)."""
        longest_only = self.config.add_k is not None
        k, base_p = P.once("base", lambda: self.without_context(P, longest_only))
        return P.word, P.count, P.first, P.discount, k, longest_only, base_p

    def without_context(self, P, longest_only):
        """k, and p(w) after the empty context (V,)."""
        counts = P.count[: self.V]
        base_p = uniform_over_seen(counts) if longest_only else np.full(self.V, 1 / self.V)
        k = self.config.add_k * np.count_nonzero(counts) if longest_only else 0.0
        if not longest_only or self.config.context == 1:
            total, left = mass(counts, 0, self.V, P.discount[0], k)
            base_p = np.array([interpolated(a, P.discount[0], total, left, p) for a, p in zip(counts, base_p, strict=True)])
        return k, base_p


def discounts(count):
    """D of 0, 1, 2, and 3 or more, from the counts of one order; DISCOUNT_FALLBACK if they do not give positive numbers."""
    n = np.zeros(6)
    for part in chunks(count):
        n += np.bincount(np.minimum(part, 5), minlength=6)
    if not n[1:4].all():
        return np.array((0.0, *DISCOUNT_FALLBACK))
    Y = n[1] / (n[1] + 2 * n[2])
    D = [i - (i + 1) * Y * n[i + 1] / n[i] for i in (1, 2, 3)]
    return np.array((0.0, *(D if min(D) > 0 else DISCOUNT_FALLBACK)))


def uniform_over_seen(counts):
    """u: uniform over the types that were seen; the others share the mass of one more token.  counts (types,)"""
    seen, types = counts > 0, int(np.count_nonzero(counts))
    rest = 1 / (counts.sum() + 1) if types < len(counts) else 0.0
    return np.where(seen, (1 - rest) / max(1, types), rest / max(1, len(counts) - types))


@kernel
def predict(context, word, count, first, discount, k, longest_only, base_p, row):
    """p(w|c) of all words: from base_p, by the ends of the context that were seen, from the shortest to the longest.

    context (n-1,), base_p (V,) -> row (V,)
    """
    row[:] = base_p
    nodes, lengths = np.empty(context.size, np.int64), np.empty(context.size, np.int64)
    for l in range(seen_contexts(context, word, first, np.empty(0), longest_only, nodes, lengths)):
        start, stop, D = first[nodes[l]], first[nodes[l] + 1], discount[lengths[l]]
        total, left = mass(count, start, stop, D, k)
        seen = np.empty(stop - start)
        for j in range(start, stop):
            seen[j - start] = interpolated(count[j], D, total, left, row[word[j]])
        for w in range(row.size):
            row[w] *= left
        for j in range(start, stop):
            row[word[j]] = seen[j - start]


@kernel
def predict_all(contexts, word, count, first, discount, k, longest_only, base_p, p):
    for t in range(len(contexts)):
        predict(contexts[t], word, count, first, discount, k, longest_only, base_p, p[t])
