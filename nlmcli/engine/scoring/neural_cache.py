"""The neural cache: what followed similar contexts a short while ago becomes more probable.

    p(w) = (1 - λ) p_model(w) + λ Σ_i softmax_i(θ h · h_i) [w_i = w]

over the last N positions i of the text: h_i is what the head read there, and w_i the token that came next. A text repeats its
names and its topic, and the cache needs no training for that: keys and values are by-products of reading. The cache is empty
at the beginning of a text.  Grave, Joulin & Usunier 2017
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.mixture import best_weight, exponentiate, log_weight
from nlmcli.engine.scoring.segments import Segment
from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.nn.cross_entropy import blocks
from nlmcli.nn.elementary import exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.precision import products_in
from nlmcli.nn.rank import rank_of
from nlmcli.options import Option, check_at_least

SEGMENT = 512  # tokens that are scored at once
THETAS = (0.0, *(0.02 * 2 ** (k / 2) for k in range(21)))  # among which θ is fitted: up to 20


class Cached:
    """A language model with a cache, with the interface that evaluation needs: one text at a time. State: the model's, and the cache."""

    kind, segment = "cache", SEGMENT

    def __init__(self, lm: LanguageModel, size: int, theta: float, weight: float, fitted: bool = False):
        """size: N; theta, weight: θ and λ; fitted: whether they were fitted rather than given.

        Raises InputError for a model without a hidden state, or for a number out of range.
        """
        check_neural(lm)
        check_at_least("cache", size, 1)
        Option(least=0).check("cache_theta", theta)
        Option(least=0, most=1).check("cache_weight", weight)
        self.lm, self.size, self.theta, self.weight, self.fitted = lm, size, theta, weight, fitted
        self.tokenizer, self.settings, self.about = lm.tokenizer, lm.settings, lm.about

    def report(self) -> dict[str, float]:
        """Its settings, by stable names."""
        return {"size": self.size, "theta": self.theta, "weight": self.weight, "fitted": self.fitted}

    def start(self, batch: int) -> Any:
        width = self.lm.model.head(self.lm.P)[0].shape[0]
        return self.lm.start(batch), np.empty((0, width), self.lm.P.flat.dtype), np.empty(0, np.int64)

    def score(self, x: np.ndarray, targets: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """nll and rank of the targets, and the state after x.  x, targets (T,1)"""
        y = targets[:, 0]
        h, keys, words, after = self.read(x, y, state)
        nll, rank, past = np.empty(len(y)), np.empty(len(y), np.int32), len(keys) - len(y)
        with products_in(self.settings.precision):
            for rows in blocks(len(y), len(self.tokenizer)):
                z, similar = self.lm.model.logits(self.lm.P, h[rows]), h[rows] @ keys.T
                cache = words, past + rows.start, self.size, self.theta, self.weight
                add_cache(z, similar, *cache, y[rows], self.lm.excluded, nll[rows], rank[rows])
        return nll, rank, (after, keys[-self.size :], words[-self.size :])

    def read(self, x: np.ndarray, y: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        """h (T,H), the keys and words of the cache with those of x appended, and the model's state after x."""
        before, keys, words = state
        with products_in(self.settings.precision):
            h, after, _ = self.lm.model.forward(self.lm.P, x, before)
        return h[:, 0], np.concatenate([keys, h[:, 0]]), np.concatenate([words, y]), after


def check_neural(lm: LanguageModel) -> None:
    if not lm.model.neural:
        neural = ", ".join(neural_names())
        raise InputError(f"model {lm.settings.model} is count-based and has no hidden state to look up; --cache works with: {neural}")


def fitted_cache(lm: LanguageModel, size: int, segments: Iterable[Segment]) -> Cached:
    """The cache with the θ and λ that are best on a text.  segments: of the text, one at a time"""
    unfitted = Cached(lm, size, 0.0, 0.0)
    nll, in_cache = [], []
    state: Any = None
    for segment in segments:
        state = unfitted.start(1) if segment.is_first else state
        y = segment.targets[:, 0]
        h, keys, words, after = unfitted.read(segment.x, y, state)
        past, found = len(keys) - len(y), np.empty((len(THETAS), len(y)))
        cache_probabilities(h @ keys.T, words, past, size, np.array(THETAS), y, found)
        nll.append(lm.model.score_rows(lm.P, h, y)[0])
        in_cache.append(found)
        state = after, keys[-size:], words[-size:]
    model_nll, found = np.concatenate(nll).astype(float), np.concatenate(in_cache, axis=1)
    with np.errstate(divide="ignore"):
        candidates = [mixed(model_nll, -np.log(p)) for p in found]
    best = int(np.argmin([loss for loss, _ in candidates]))
    return Cached(lm, size, THETAS[best], candidates[best][1], fitted=True)


def mixed(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The lowest mean -ln of a mixture, and the weight of the second that reaches it."""
    weight = best_weight(first, second)
    return float(-np.logaddexp(log_weight(1 - weight) - first, log_weight(weight) - second).mean()), weight


@kernel
def add_cache(z, similar, words, first, size, theta, weight, targets, excluded, nll, rank):
    """nll and rank of each target under the mixture.  z (N,V) logits, overwritten; similar (N,M): h · h_i of all positions i

    Row k may look at the `size` positions before first + k, whose next words are in words (M,).
    """
    log_p = np.empty(1)
    for k in range(targets.size):
        row, target = z[k], targets[k]
        row_sum = exponentiate(row, target, log_p, 0)
        stop = first + k
        start = max(0, stop - size)
        share = weight if stop > start else 0.0
        scale, in_cache = row.dtype.type((1 - share) / row_sum), 0.0
        for w in range(row.size):
            row[w] *= scale
        near = similar[k][start:stop]
        if near.size > 0:
            softmax_scaled(near, theta)
        for i in range(near.size):
            p = row.dtype.type(share) * near[i]
            row[words[start + i]] += p
            if words[start + i] == target:
                in_cache += near[i]
        nll[k] = -math.log((1 - share) * math.exp(log_p[0]) + share * in_cache)
        rank[k] = rank_of(row, target, excluded)


@kernel
def softmax_scaled(row, theta):
    """row = softmax(θ row)."""
    top, scale = largest(row), row.dtype.type(theta)
    for i in range(row.size):
        row[i] = exp((row[i] - top) * scale)
    share = row.dtype.type(1) / total(row)
    for i in range(row.size):
        row[i] *= share


@kernel
def cache_probabilities(similar, words, first, size, thetas, targets, found):
    """found[j, k]: the probability of target k in the cache alone, with the j-th θ; 0 if the cache is empty."""
    for k in range(targets.size):
        stop = first + k
        start = max(0, stop - size)
        near = np.empty(stop - start, similar.dtype)
        for j in range(thetas.size):
            found[j, k] = 0
            if near.size > 0:
                near[:] = similar[k][start:stop]
                softmax_scaled(near, thetas[j])
                for i in range(near.size):
                    if words[start + i] == targets[k]:
                        found[j, k] += near[i]
