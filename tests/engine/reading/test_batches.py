"""Token ids to batches."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.reading import batches, shuffle
from nlmcli.engine.reading.batches import PADDING, Lines, Stream
from nlmcli.errors import InputError

NEWLINE = 0
SIZE = st.integers(1, 7)


def epoch_of(data, epoch=0):
    return [data.batch(epoch * data.steps_per_epoch + k) for k in range(data.steps_per_epoch)]


# stream


@given(N=st.integers(1, 80), B=SIZE, T=SIZE, epoch=st.integers(0, 3))
def test_a_stream_reads_every_token_of_each_column_once_and_in_order(N, B, T, epoch):
    ids = np.arange(1, N + 1, dtype=np.int32)
    if N < B:
        with pytest.raises(InputError, match=f"{N} training tokens.*--batch-size"):
            Stream(ids, NEWLINE, B, T)
        return
    data = Stream(ids, NEWLINE, B, T)
    batches = epoch_of(data, epoch)
    y = np.concatenate([batch.y for batch in batches])
    x = np.concatenate([batch.x for batch in batches])
    length = N // B
    assert data.tokens == y.size == B * length
    np.testing.assert_array_equal(y.T.ravel(), ids[: B * length])
    np.testing.assert_array_equal(x.T.ravel(), [NEWLINE, *ids[: B * length - 1]])
    np.testing.assert_array_equal(x[1:], y[:-1])  # x is y shifted by one
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
    assert all(len(batch.x) <= T for batch in batches) and x.dtype == y.dtype == np.int64


@pytest.mark.parametrize(("B", "T", "steps"), [(1, 12, 1), (1, 1, 12), (12, 1, 1), (12, 5, 1), (1, 100, 1)])
def test_a_stream_with_extreme_batch_sizes_and_sequence_lengths(B, T, steps):
    data = Stream(np.arange(1, 13), NEWLINE, B, T)
    assert data.steps_per_epoch == steps
    assert sum(batch.y.size for batch in epoch_of(data)) == 12
    assert data.batch(0).x[0, 0] == NEWLINE


def test_the_error_for_a_short_corpus_gives_a_batch_size_that_works():
    with pytest.raises(InputError, match="lower --batch-size to 3 or less"):
        Stream(np.arange(7), NEWLINE, 8, 4)
    Stream(np.arange(7), NEWLINE, 3, 4)


@given(order=st.permutations(range(8)), kind=st.sampled_from(["stream", "lines"]))
@settings(max_examples=30)
def test_a_batch_depends_only_on_its_step(order, kind):
    def make():
        if kind == "stream":
            return Stream(np.arange(1, 40), NEWLINE, 3, 4)
        return Lines([np.arange(1, 2 + i % 7) for i in range(11)], NEWLINE, 3, 4, seed=1)

    data, expected = make(), [make().batch(step) for step in range(8)]
    for step in order:
        batch = data.batch(step)
        np.testing.assert_array_equal(batch.x, expected[step].x)
        np.testing.assert_array_equal(batch.y, expected[step].y)
        assert batch.fresh == expected[step].fresh


# lines


def numbered(lengths):
    """Lines whose tokens encode their positions: line i is 100 i + 1, 100 i + 2, ..."""
    return [100 * i + np.arange(1, n + 1) for i, n in enumerate(lengths)]


def read_epoch(data, epoch=0):
    """The lines of an epoch in reading order: (x, y) of each column, with its segments joined."""
    done, open_x, open_y = [], [], []

    def close():
        if open_x:
            x, y = np.concatenate(open_x), np.concatenate(open_y)
            done.extend((x[:, b][y[:, b] != PADDING], y[:, b][y[:, b] != PADDING]) for b in range(x.shape[1]))

    for batch in epoch_of(data, epoch):
        if batch.fresh:
            close()
            open_x, open_y = [], []
        open_x.append(batch.x)
        open_y.append(batch.y)
    close()
    return done


@given(lengths=st.lists(st.integers(1, 23), min_size=1, max_size=20), B=SIZE, T=SIZE, epoch=st.integers(0, 2))
def test_every_line_is_read_completely_and_once_per_epoch(lengths, B, T, epoch):
    lines = numbered(lengths)
    data = Lines(lines, NEWLINE, B, T, seed=3)
    pairs = read_epoch(data, epoch)
    assert len(pairs) == len(lines) and data.tokens == sum(lengths)
    for x, y in pairs:
        np.testing.assert_array_equal(y, lines[y[0] // 100])
        np.testing.assert_array_equal(x, [NEWLINE, *y[:-1]])
    assert sorted(y[0] // 100 for _, y in pairs) == list(range(len(lines)))


@given(lengths=st.lists(st.integers(1, 23), min_size=1, max_size=20), B=SIZE, T=SIZE)
def test_padding_is_only_at_the_end_and_no_batch_is_empty(lengths, B, T):
    for batch in epoch_of(Lines(numbered(lengths), NEWLINE, B, T, seed=3)):
        real = batch.y != PADDING
        assert batch.x.shape == batch.y.shape and batch.x.shape[0] <= T and batch.x.shape[1] <= B
        assert real.any(1).all() and real.any(0).all()
        np.testing.assert_array_equal(real, np.sort(real, axis=0)[::-1])
        assert (batch.x >= 0).all()


def test_a_long_line_continues_in_the_next_segment():
    first, second, third = epoch_of(Lines(numbered([8]), NEWLINE, 4, 3, seed=1))
    assert [batch.fresh for batch in (first, second, third)] == [True, False, False]
    assert [batch.y.T.tolist() for batch in (first, second, third)] == [[[1, 2, 3]], [[4, 5, 6]], [[7, 8]]]
    assert [batch.x.T.tolist() for batch in (first, second, third)] == [[[0, 1, 2]], [[3, 4, 5]], [[6, 7]]]


def test_each_epoch_and_each_seed_has_its_own_order():
    def order(seed, epoch):
        data = Lines(numbered([5] * 30), NEWLINE, 4, 8, seed)
        return [int(y[0]) // 100 for _, y in read_epoch(data, epoch)]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


@given(lengths=st.lists(st.integers(1, 23), min_size=1, max_size=60), B=SIZE, T=SIZE, epoch=st.integers(0, 2))
def test_the_order_of_an_epoch_step_by_step(lengths, B, T, epoch):
    """All groups shuffled, then all batches of all groups, as one list."""
    rng = np.random.default_rng([7, epoch])
    segments, planned = -(-np.array(lengths) // T), []
    for s in sorted(set(segments)):
        members = rng.permutation(np.flatnonzero(segments == s))
        planned += [(members[at : at + B].tolist(), s) for at in range(0, len(members), B)]
    expected = [(planned[i][0], segment) for i in rng.permutation(len(planned)) for segment in range(planned[i][1])]
    data = Lines(numbered(lengths), NEWLINE, B, T, seed=7)
    data.batch(epoch * data.steps_per_epoch)
    assert [(members.tolist(), segment) for members, segment in map(data.plan.__getitem__, range(data.steps_per_epoch))] == expected


@given(lengths=st.lists(st.integers(1, 23), min_size=2, max_size=300), B=SIZE, T=SIZE, epoch=st.integers(0, 2))
@settings(max_examples=50)
def test_an_order_that_is_computed_rather_than_stored(lengths, B, T, epoch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "STORED", 1)
        patch.setattr(shuffle, "STORED", 1)
        patch.setattr(batches, "LINES", 4)
        test_every_line_is_read_completely_and_once_per_epoch.hypothesis.inner_test(lengths, B, T, epoch)
        data, again = (Lines(numbered(lengths), NEWLINE, B, T, seed=3) for _ in range(2))
        for step in reversed(range(data.steps_per_epoch)):
            np.testing.assert_array_equal(data.batch(step).y, again.batch(step).y)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 100, 4096, 4097, 70_000])
def test_a_computed_permutation_has_every_number_once_and_looks_random(n):
    orders = [shuffle.Feistel(np.random.default_rng(seed), n)[:] for seed in range(3)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
    if n > 1000:
        for a, b in itertools.combinations([np.arange(n), *orders], 2):
            assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(n)
        neighbours = np.abs(np.diff(orders[0])).mean()  # n / 3 at random
        assert neighbours == pytest.approx(n / 3, rel=0.05)
