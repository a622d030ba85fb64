"""The neural cache: what followed similar contexts a short while ago becomes more probable.

    p_cache(w) = Σ_i softmax_i(θ h · h_i) [w_i = w]

over the last N positions i of the text: h_i is what the head read there, and w_i the token that came next. A text repeats its
names and its topic, and the cache needs no training for that: keys and values are by-products of reading. The cache is empty
at the beginning of a text. It is a member of a mixture, with the weight λ.  Grave, Joulin & Usunier 2017
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.nn.activations import softmax
from nlmcli.nn.elementary import exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.options import Option, check_at_least

THETAS = (0.0, *(0.02 * 2 ** (k / 2) for k in range(21)))  # among which θ is fitted: up to 20


@dataclass(frozen=True)
class Memory:
    """keys (M,H), words (M,): what each position looked like, and the token that came next.  past: those before the segment; size: N"""

    keys: np.ndarray
    words: np.ndarray
    past: int
    size: int

    def followed_by(self, h: np.ndarray, y: np.ndarray) -> "Memory":
        """The last N positions, and those of a segment."""
        keys, words = self.keys[-self.size :], self.words[-self.size :]
        return Memory(np.concatenate([keys, h]), np.concatenate([words, y]), len(keys), self.size)

    def filled(self) -> np.ndarray:
        """The number of positions that each position of the segment may look at."""
        return np.minimum(np.arange(self.past, len(self.keys)), self.size)

    def similar(self, rows: slice) -> np.ndarray:
        """h · h_i of some positions of the segment with all of them."""
        return self.keys[self.past :][rows] @ self.keys.T

    def log_probabilities(self, y: np.ndarray) -> np.ndarray:
        """ln p_cache(y) with each of THETAS (J,N); -∞ where it holds no y."""
        found = np.empty((len(THETAS), len(y)))
        cache_probabilities(self.similar(slice(None)), self.words, self.past, self.size, np.array(THETAS), y, found)
        with np.errstate(divide="ignore"):
            return np.log(found)


@dataclass(frozen=True)
class Cache:
    """size: N; theta: θ, how sharply the most similar positions are preferred."""

    size: int
    theta: float
    SEGMENT: ClassVar[int] = 512  # tokens that are scored at once

    def check(self, lm: Any) -> None:
        """Raises InputError for a model without a hidden state, or for a number out of range."""
        if not lm.model.neural:
            neural = ", ".join(neural_names())
            raise InputError(f"model {lm.settings.model} is count-based and has no hidden state to look up; --cache works with: {neural}")
        check_at_least("cache", self.size, 1)
        Option(least=0).check("cache_theta", self.theta)

    def empty(self, lm: Any) -> Memory:
        """The memory at the beginning of a text."""
        width = lm.model.head(lm.P)[0].shape[0]
        return Memory(np.empty((0, width), lm.P.flat.dtype), np.empty(0, np.int64), 0, self.size)

    def add(self, memory: Memory, rows: slice, weights: np.ndarray, y: np.ndarray, p: np.ndarray, log_p: np.ndarray) -> None:
        """p += λ p_cache; log_p: ln p_cache of each target.  weights, y (n,), p (n,V)"""
        similar = memory.similar(rows)
        add_cache(similar, memory.words, memory.past + (rows.start or 0), self.size, self.theta, weights, y, p, log_p)


@dataclass(frozen=True)
class Recall:
    """A cache and its weight λ, for generation: what texts remember of themselves."""

    cache: Cache
    weight: float

    def logits(self, z: np.ndarray, h: np.ndarray, keys: np.ndarray, words: np.ndarray) -> np.ndarray:
        """ln of the mixture of softmax(z) with what each text remembers.  z (B,V), h (B,H), keys (M,B,H), words (M,B)"""
        if not len(keys):
            return z
        p = (1 - self.weight) * softmax(z)[0]
        for b in range(len(z)):
            shares, _ = softmax(self.cache.theta * (keys[:, b] @ h[b])[None])
            np.add.at(p[b], words[:, b], self.weight * shares[0])
        with np.errstate(divide="ignore"):
            return np.log(p)


@kernel
def add_cache(similar, words, first, size, theta, weights, targets, p, log_p):
    """Add what the cache predicts to each row of p (n,V).  similar (n,M): h · h_i of all positions i, overwritten

    Row k may look at the `size` positions before first + k, whose next words are in words (M,).
    """
    for k in range(targets.size):
        row, target, in_cache = p[k], targets[k], 0.0
        stop = first + k
        start = max(0, stop - size)
        near = similar[k][start:stop]
        if near.size > 0:
            softmax_scaled(near, theta)
        for i in range(near.size):
            row[words[start + i]] += row.dtype.type(weights[k]) * near[i]
            if words[start + i] == target:
                in_cache += near[i]
        log_p[k] = np.log(in_cache) if in_cache > 0 else -np.inf


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
