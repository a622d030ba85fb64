"""Permutations of the numbers below n: stored, or of very many computed by a formula, which takes no memory.

The formula is a Feistel network, which permutes the numbers of 2b bits:  (l, r) -> (r, l ⊕ f(r)),  l and r of b bits, in
several rounds with a different f each; whatever f is, going backwards is possible, so no number occurs twice (Luby & Rackoff
1988).  Numbers of 2b bits that are not below n are permuted until they are (cycle walking, Black & Rogaway 2002).
"""

from typing import Any

import numpy as np

STORED = 1 << 24  # numbers of the largest permutation that is stored, in 64 MB
ROUNDS = 6
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / φ, odd


class Feistel:
    """A permutation of the numbers below n, indexed like an array."""

    def __init__(self, rng: np.random.Generator, n: int):
        self.n, self.half = n, np.uint64(max(1, -(-(n - 1).bit_length() // 2)))
        self.keys = rng.integers(0, 1 << 64, ROUNDS, np.uint64)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, places: slice) -> np.ndarray:
        numbers = self.permuted(np.arange(*places.indices(self.n), dtype=np.uint64))
        while (outside := numbers >= self.n).any():
            numbers[outside] = self.permuted(numbers[outside])
        return numbers.astype(np.int64)

    def permuted(self, numbers: np.ndarray) -> np.ndarray:
        """All rounds, of numbers of 2b bits."""
        b = self.half
        mask = (np.uint64(1) << b) - np.uint64(1)
        l, r = numbers >> b, numbers & mask
        for key in self.keys:
            f = (r + key) * MIX
            l, r = r, l ^ ((f ^ (f >> np.uint64(29))) * MIX >> np.uint64(32)) & mask
        return l << b | r


def permutation(rng: np.random.Generator, n: int) -> Any:
    """A random permutation of the numbers below n."""
    return shuffled(rng, n) if n <= STORED else Feistel(rng, n)


def shuffled(rng: np.random.Generator, n: int) -> np.ndarray:
    """The same as rng.permutation(n), in half the memory.  n < 2³²"""
    numbers = np.arange(n, dtype=np.uint32)
    rng.shuffle(numbers)
    return numbers
