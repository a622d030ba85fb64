"""Philox 4x32-10: random numbers as a pure function of a key and a counter.          Salmon et al. 2011

    (c₀, c₁, c₂, c₃) <- (hi(M₁ c₂) ⊕ c₁ ⊕ k₀, lo(M₁ c₂), hi(M₀ c₀) ⊕ c₃ ⊕ k₁, lo(M₀ c₀));   (k₀, k₁) += (W₀, W₁), ten times

The generator is counter-based and keeps no state: any number can be computed without its predecessors, many at once, by
any thread. In the paper it passes every test of BigCrush, even with consecutive counters and keys.
"""

import numpy as np

from nlmcli.nn.kernel import kernel

word = np.uint64  # holds 32 bits, so that the product of two fits
M0, M1 = word(0xD2511F53), word(0xCD9E8D57)
W0, W1 = word(0x9E3779B9), word(0xBB67AE85)
LOW, HALF = word(0xFFFFFFFF), word(32)
ROUNDS, LANES = 10, 64  # LANES: counters that go through the rounds together


class Philox:
    """The random numbers of one shard in one training step; the same (seed, step, shard) draws the same numbers."""

    def __init__(self, seed: int, step: int = 0, shard: int = 0):
        self.seed, self.step, self.shard, self.calls = seed, step, shard, 0

    def next_key(self):
        """A key unique to this call: [c₁, c₂, c₃, k₀, k₁] = number of the call, shard, step, and the two halves of the seed."""
        call, self.calls = self.calls, self.calls + 1
        return np.array([call, self.shard, self.step, self.seed & 0xFFFFFFFF, self.seed >> 32 & 0xFFFFFFFF], word)


@kernel
def ten_rounds(c, k0, k1):
    """Turn counters into random words, in place.  c (4, LANES).  k0, k1: the key."""
    c0, c1, c2, c3 = c[0], c[1], c[2], c[3]
    for _ in range(ROUNDS):
        for j in range(c0.size):
            a, b = M0 * c0[j], M1 * c2[j]
            c0[j] = (b >> HALF) ^ c1[j] ^ k0
            c1[j] = b & LOW
            c2[j] = (a >> HALF) ^ c3[j] ^ k1
            c3[j] = a & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW


@kernel
def draw_mask(key, least, value, mask):
    """mask[k] = value where the k-th word of the key is at least `least`, else 0.  mask (N,).

    A block of 4 · LANES numbers holds the first words of its counters, then the second, the third and the fourth.
    """
    c, zero = np.empty((4, LANES), word), mask.dtype.type(0)
    for start in range(0, mask.size, c.size):
        for j in range(LANES):
            c[0, j] = word(start // 4 + j)
        for i in range(1, 4):
            c[i] = key[i - 1]
        ten_rounds(c, key[3], key[4])
        for i in range(4):
            words, part = c[i], mask[start + i * LANES : start + (i + 1) * LANES]
            for j in range(part.size):
                part[j] = value if words[j] >= least else zero
