"""Random bits: the test vectors of Salmon et al., and statistical tests of masks with consecutive keys."""

import itertools

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.nn.dropout import dropout_mask
from nlmcli.nn.kernel import JIT
from nlmcli.nn.philox import LANES, Philox, draw_mask, ten_rounds

ONES = 0xFFFFFFFF
KNOWN = [  # counter, key, words: from kat_vectors of Random123
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
SIZE = 1 << (20 if JIT else 13)  # size of a mask whose numbers are counted
WORD = st.integers(0, ONES)


def words_of(counter, key):
    c = np.tile(np.array(counter, np.uint64)[:, None], LANES)
    ten_rounds(c, *np.array(key, np.uint64))
    return c


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_published_test_vectors(counter, key, words):
    assert naive.philox(counter, key) == list(words)
    np.testing.assert_array_equal(words_of(counter, key), np.tile(np.array(words, np.uint64)[:, None], LANES))


@given(counter=st.tuples(WORD, WORD, WORD, WORD), key=st.tuples(WORD, WORD))
def test_words_agree_with_the_definition(counter, key):
    assert words_of(counter, key)[:, -1].tolist() == naive.philox(counter, key)


@given(size=st.integers(0, 600), seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**32 - 1), shard=st.integers(0, 7))
@settings(max_examples=15)
def test_a_mask_compares_each_word_with_the_threshold(size, seed, step, shard):
    rng, expected = Philox(seed, step, shard), np.zeros((3, 4 * LANES), np.float32)
    threshold = 2**31
    rng.next_key()
    mask = np.full(size, np.nan, np.float32)
    draw_mask(rng.next_key(), np.uint64(threshold), np.float32(2), mask)
    for i in range(expected.size // 4):
        words = naive.philox((i, 1, shard, step), (seed % 2**32, seed >> 32))
        expected[i // LANES, i % LANES :: LANES] = [2 * (w >= threshold) for w in words]
    np.testing.assert_array_equal(mask, expected.reshape(-1)[:size])


def test_a_mask_is_a_function_of_seed_step_shard_and_call():
    def bits(*key, call=0):
        rng = Philox(*key)
        return [dropout_mask((5, 60), 0.5, rng, np.float32).tobytes() for _ in range(call + 1)][call]

    keys = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 3, 2), (1 + 2**32, 2, 3)]
    masks = [bits(*key, call=call) for key in keys for call in (0, 1)]
    assert len(set(masks)) == len(masks)
    assert masks == [bits(*key, call=call) for key in keys for call in (0, 1)]


@pytest.mark.parametrize("p", [0.001, 0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fraction_p_is_dropped(p, dtype):
    keep = dropout_mask(SIZE, p, Philox(3), dtype)
    assert keep.dtype == dtype
    assert set(np.unique(keep)) == {0, dtype(1 / (1 - p))}
    dropped = np.count_nonzero(keep == 0)
    assert abs(dropped - p * SIZE) < 4 * np.sqrt(SIZE * p * (1 - p))  # four standard deviations


def test_nothing_is_dropped_in_evaluation_or_without_dropout():
    assert dropout_mask(5, 0.5, None, np.float32) is None
    assert dropout_mask(5, 0.0, Philox(0), np.float32) is None


def test_every_bit_is_one_as_often_as_zero():
    """χ² of the frequency of ones in each of 32 bits of the four words, with consecutive counters: 128 degrees of freedom."""
    n = SIZE // 16
    words = np.empty((4, n), np.uint64)
    for start in range(0, n, LANES):
        block = words[:, start : start + LANES]
        block[...] = 0
        block[0] = np.arange(start, start + LANES)
        ten_rounds(block, np.uint64(1), np.uint64(0))
    ones = np.array([(words >> np.uint64(bit) & np.uint64(1)).sum(1) for bit in range(32)]).astype(float)
    chi2 = (((ones - n / 2) ** 2) / (n / 4)).sum()
    assert 76 < chi2 < 194  # mean 128, standard deviation 16: more than three of them below, four above


def test_patterns_of_eight_are_equally_frequent():
    """χ² over the 256 ways in which eight adjacent entries are dropout_mask or dropped: 255 degrees of freedom."""
    eights = (dropout_mask(SIZE, 0.5, Philox(5), np.float32) > 0).reshape(-1, 8)
    counts = np.bincount(np.packbits(eights, axis=1)[:, 0], minlength=256)
    expected = len(eights) / 256
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert 165 < chi2 < 370  # mean 255, standard deviation 22.6


def test_masks_of_neighboring_keys_are_not_correlated():
    """Nor is a mask with itself, shifted. Correlations of independent numbers have a standard deviation of 1/√n."""
    masks = []
    for key in itertools.product((0, 1), (0, 1), (0, 1)):
        rng = Philox(*key)
        masks += [dropout_mask(SIZE // 4, 0.3, rng, np.float64) for _ in range(2)]
    first = masks[0]
    masks += [np.roll(first, shift) for shift in (1, 2, 3, 4, LANES, 2 * LANES, 4 * LANES)]
    correlations = np.corrcoef(masks)[np.triu_indices(len(masks), 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(first.size)
    assert np.std(correlations) == pytest.approx(1 / np.sqrt(first.size), rel=0.25)
