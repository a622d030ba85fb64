"""What the counted and the back-off n-gram model share: a trie of n-grams, and the last n-1 words as state."""

import threading

import numpy as np

from nlmcli.models.base.model import Model
from nlmcli.nn.embedding import context_windows
from nlmcli.nn.ngrams import longest_seen
from nlmcli.nn.params import Params

BEFORE_START = -1  # the id that precedes the beginning of a text


class Trie(Params):
    """Arrays by name, among them those of a trie (word, first; nn/ngrams.py), and what follows from them, computed once."""

    def __init__(self, flat, **arrays):
        """flat: what is θ in a neural model"""
        vars(self).update(arrays)
        self.flat, self.shapes = flat, {name: array.shape for name, array in arrays.items()}
        self.lock, self.known = threading.RLock(), {}

    def once(self, name, compute):
        """What follows from these arrays under this name, computed when it is first asked for."""
        with self.lock:
            if name not in self.known:
                self.known[name] = compute()
        return self.known[name]


class NGrams(Model):
    """State: the last n-1 words (n-1,B), BEFORE_START at the beginning.  h: the n-1 words before each prediction (T,B,n-1)."""

    neural = False

    def start(self, batch, dtype=np.int64):
        return (np.full((self.config.context - 1, batch), BEFORE_START),)

    def forward(self, P, x, state, rng=None):
        ids, before = context_windows(state[0], x)
        return ids[..., 1:], (before,), None

    def longest_seen(self, P, contexts, targets):
        """How many of the last words of each context there are in an n-gram with its target.  (N,)"""
        return longest_seen(P.word, P.first, contexts, targets)
