"""The n-gram model: no network, but how often each word followed the n-1 words before it, smoothed.

    p(w|c) = (a(cw) - D(a(cw))) / a(c) + γ(c) p(w|c');    γ(c) = Σ_w D(a(cw)) / a(c);    a(c) = Σ_w a(cw)

Interpolated modified Kneser-Ney smoothing (Kneser & Ney 1995, Chen & Goodman 1998). c' is c without its first word; under
the empty context lies 1/V. a is how often an n-gram of the highest order stands in the text, and how many different words
stand before a shorter one: Francisco may be frequent, but it follows little else than San. The beginning of a text is a
different word each time. D discounts counts of 1, of 2, and of 3 or more, in each order its own: with n_i n-grams of a = i,

    D(i) = i - (i + 1) Y n_{i+1} / n_i;    Y = n_1 / (n_1 + 2 n_2)

and no n-gram is left out for being rare. In its place, with --add-k X, additive smoothing; Laplace's (1814) for X = 1:

    p(w|c) = (n(cw) + k u(w)) / (n(c) + k);    k = X V

V are the types that the text has, and u is 1/V for each; types that it has not, if there are any, share 1/(N+1) of u, N
the tokens (method A, Cleary & Witten 1984). Of a context that the text has not nothing is known: p = u.
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.errors import InputError
from nlmcli.models import base
from nlmcli.nn.embedding import look_back
from nlmcli.nn.kernel import kernel
from nlmcli.nn.ngrams import find, is_tree, side_by_side, tree
from nlmcli.nn.params import Params
from nlmcli.nn.rank import rank_of
from nlmcli.options import option

NOTHING = -1  # stands before the beginning of a text
ADD_K = "Additive smoothing: X is added to every count (1: Laplace, 0: no smoothing)."
FALLBACK = (0.5, 1.0, 1.5)  # discounts where there are too few n-grams to estimate them


@dataclass(frozen=True)
class Config:
    context: int = base.context(5)
    add_k: float | None = option(None, ADD_K, "X", least=0, default_text="Kneser-Ney smoothing")


class Counts(Params):
    """The tree of n-grams (word, count, first), and D of 0, 1, 2, and 3 or more for each order (n,4).

    What θ is for a neural model, `flat`, is its counts.
    """

    def __init__(self, word, count, first, discount):
        self.word, self.count, self.first, self.discount, self.flat = word, count, first, discount, count
        self.shapes = {name: getattr(self, name).shape for name in ("word", "count", "first", "discount")}


class NGram(base.Model):
    """State: the last n-1 words (n-1,B), NOTHING before the first.  h: the n-1 words before each prediction (T,B,n-1)."""

    Config = Config
    neural = False

    def start(self, batch, dtype=np.int64):
        return (np.full((self.config.context - 1, batch), NOTHING),)

    def forward(self, P, x, state, rng=None):
        ids, before = look_back(state[0], x)
        return ids[..., 1:], (before,), None

    def count(self, texts):
        kneser_ney = self.config.add_k is None
        tokens, place = side_by_side(texts, self.newline)
        word, counts, first = tree(tokens, place, self.config.context, self.V, before=kneser_ney)
        discount = [discounts(count) if kneser_ney else np.zeros(4) for count in counts]
        return Counts(word, np.concatenate(counts, dtype=np.int32), first, np.array(discount))

    def restore(self, arrays):
        n = self.config.context
        word, count, first, discount = (arrays.get(name, np.empty(0)) for name in ("word", "count", "first", "discount"))
        typed = word.dtype == count.dtype == first.dtype == np.int32 and discount.dtype == np.float64
        if not typed or discount.shape != (n, 4) or not is_tree(word, count, first, n, self.V):
            raise InputError(f"no counts of the {n}-grams of {self.V} types")
        return Counts(word, count, first, discount)

    def score(self, P, x, targets, state, excluded=-1):
        h, state, _ = self.forward(P, x, state)
        real = targets >= 0
        p, rank = look_up(h[real], targets[real], excluded, *self.known(P))
        with np.errstate(divide="ignore"):  # without smoothing, what never happened is impossible
            return -np.log(p), rank, state

    def logits(self, P, h):
        p = self.probabilities(P, h)
        with np.errstate(divide="ignore"):
            return np.log(p, out=p)

    def probabilities(self, P, h):
        """p(w|c) of every word after each context.  h (N,n-1) -> (N,V)"""
        p = np.empty((len(h), self.V))
        predict_all(np.ascontiguousarray(h), *self.known(P), p)
        return p

    def known(self, P):
        """What `predict` is given: the tree, the discounts, k, whether only the longest context is asked, and p without one (V,)."""
        longest = self.config.add_k is not None
        counts = P.count[: self.V]
        ground = seen_types(counts) if longest else np.full(self.V, 1 / self.V)
        k = self.config.add_k * np.count_nonzero(counts) if longest else 0.0
        if not longest or self.config.context == 1:
            row = np.zeros(self.V)
            ground = share_out(1.0, P.word, P.count, 0, self.V, P.discount[0], k, row) * ground + row
        return P.word, P.count, P.first, P.discount, k, longest, ground


def discounts(count):
    """D of 0, 1, 2, and 3 or more, from the counts of one order; FALLBACK where they do not give numbers above 0."""
    n = np.bincount(np.minimum(count, 5), minlength=5).astype(float)
    if not n[1:4].all():
        return np.array((0.0, *FALLBACK))
    Y = n[1] / (n[1] + 2 * n[2])
    D = [i - (i + 1) * Y * n[i + 1] / n[i] for i in (1, 2, 3)]
    return np.array((0.0, *(D if min(D) > 0 else FALLBACK)))


def seen_types(counts):
    """u: alike for all types that were seen; those that were not share as much as one token more would have.  counts (types,)"""
    seen, some = counts > 0, int(np.count_nonzero(counts))
    rest = 1 / (counts.sum() + 1) if some < len(counts) else 0.0
    return np.where(seen, (1 - rest) / max(1, some), rest / max(1, len(counts) - some))


@kernel
def share_out(left, word, count, start, stop, D, k, row):
    """row[w] += left (a - D(a)) / (a(c) + k), a the counts from start to stop.  -> (Σ D(a) + k) / (a(c) + k)"""
    total = ones = twos = more = 0
    for i in range(start, stop):
        total += count[i]
        ones += count[i] == 1
        twos += count[i] == 2
        more += count[i] > 2
    share = left / (total + k)
    for i in range(start, stop):
        row[word[i]] += share * (count[i] - D[min(count[i], 3)])
    return (D[1] * ones + D[2] * twos + D[3] * more + k) / (total + k)


@kernel
def predict(context, word, count, first, discount, k, longest, ground, row):
    """p(w|c) of all words: what the longest context leaves goes to the next, and what all leave to the ground.

    context (n-1,), ground (V,) -> row (V,)
    """
    row[:] = 0
    left = 1.0
    for start in range(context.size):
        if context[start] < 0:  # NOTHING
            continue
        i = find(context[start:], word, first)
        if i >= 0 and first[i] < first[i + 1]:
            left *= share_out(left, word, count, first[i], first[i + 1], discount[context.size - start], k, row)
        if longest:
            break
    for w in range(row.size):
        row[w] += left * ground[w]


@kernel
def predict_all(contexts, word, count, first, discount, k, longest, ground, p):
    for t in range(len(contexts)):
        predict(contexts[t], word, count, first, discount, k, longest, ground, p[t])


@kernel
def look_up(contexts, targets, excluded, word, count, first, discount, k, longest, ground):
    """p of each target, and its rank without a word that is excluded.  contexts (N,n-1), targets (N,) -> (N,), (N,)"""
    p, rank, row = np.empty(targets.size), np.empty(targets.size, np.int32), np.empty_like(ground)
    for t in range(targets.size):
        predict(contexts[t], word, count, first, discount, k, longest, ground, row)
        p[t], rank[t] = row[targets[t]], rank_of(row, targets[t], excluded)
    return p, rank
