"""The figures of a regression, against hand-computed examples, exact arithmetic and SciPy."""

import math
import warnings

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.scoring.correlation import correlation, pearson, ranks

values = st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), min_size=2, max_size=30)


def columns(pairs, scale=1.0):
    return (scale * np.array(column, float) for column in zip(*pairs, strict=True))


def test_a_worked_example():
    found = correlation(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 6]), mean=2.0)
    assert found.pearson == pytest.approx(7 / math.sqrt(5 * 14)) and found.spearman == pytest.approx(0.8)
    assert (found.mse, found.mae, found.count) == (1.5, 1.0, 4)
    assert (found.floor_mse, found.floor_mae) == (1.5, 1.0)


def test_the_floor_is_that_of_the_given_mean():
    found = correlation(np.array([0.0, 2]), np.array([0.0, 2]), mean=-1.0)
    assert (found.mse, found.mae, found.floor_mse, found.floor_mae) == (0, 0, 5, 2)


def test_ranks_share_their_mean_place():
    assert ranks(np.array([7.0, 3, 7, 9, 3, 3])).tolist() == [4.5, 2, 4.5, 6, 2, 2]


@given(values)
def test_it_is_the_definition(pairs):
    gold, said = columns(pairs, 0.1)
    found = correlation(gold, said, 0.3)
    assert found.pearson == pytest.approx(naive.pearson(gold, said), abs=1e-12, nan_ok=True)
    assert found.spearman == pytest.approx(naive.pearson(naive.mean_ranks(gold), naive.mean_ranks(said)), abs=1e-12, nan_ok=True)
    assert found.mse == pytest.approx(sum((g - s) ** 2 for g, s in zip(gold, said, strict=True)) / len(gold))
    assert found.mae == pytest.approx(sum(abs(g - s) for g, s in zip(gold, said, strict=True)) / len(gold))
    assert found.floor_mse == pytest.approx(sum((g - 0.3) ** 2 for g in gold) / len(gold))
    assert found.floor_mae == pytest.approx(sum(abs(g - 0.3) for g in gold) / len(gold))


@given(values)
def test_it_is_what_scipy_says(pairs):
    stats = pytest.importorskip("scipy.stats")
    gold, said = columns(pairs)
    found = correlation(gold, said, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        assert found.pearson == pytest.approx(float(stats.pearsonr(gold, said).statistic), abs=1e-12, nan_ok=True)
        assert found.spearman == pytest.approx(float(stats.spearmanr(gold, said).statistic), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("offset", [1e9, -1e12])
def test_a_large_offset_costs_no_digits(offset):
    rng = np.random.default_rng(0)
    gold = offset + rng.normal(size=101) * 0.01
    said = offset + 0.5 * (gold - offset) + rng.normal(size=101) * 0.01
    found = correlation(gold, said, offset)
    assert found.pearson == pytest.approx(naive.pearson(gold, said), rel=1e-12)
    assert found.mse == pytest.approx(float(sum((gold - said) ** 2)) / 101, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_squares_neither_vanish_nor_overflow(scale):
    found = correlation(np.array([1.0, 2, 3, 4]) * scale, np.array([1.0, 3, 2, 6]) * scale, 0.0)
    assert found.pearson == pytest.approx(7 / math.sqrt(5 * 14))


def test_it_is_at_most_one():
    x = np.arange(6) * 0.1
    for said, sign in ((0.7 * x + 0.7, 1), (-0.7 * x - 0.7, -1)):  # the quotient is rounded to 1 + 2e-16
        found = correlation(x, said, 0.0)
        assert found.pearson == pytest.approx(sign) and found.spearman == pytest.approx(sign)
        assert abs(found.pearson) <= 1 and abs(found.spearman) <= 1


@pytest.mark.parametrize(("gold", "said"), [([0.1] * 7, range(7)), (range(7), [0.1] * 7), ([1.0], [2.0]), ([], [])])
def test_there_is_no_correlation_with_a_constant(gold, said):
    found = correlation(np.array(gold, float), np.array(said, float), 0.0)
    assert math.isnan(found.pearson) and math.isnan(found.spearman) and found.count == len(gold)
    assert math.isnan(found.mse) == math.isnan(found.floor_mae) == (not len(gold))
    assert math.isnan(pearson(np.array(gold), np.array(said)))  # and no 0 / 0, of which NumPy would warn


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_answer_that_is_no_number_is_told(bad):
    found = correlation(np.array([1.0, 2, 3]), np.array([1.0, bad, 2]), 2.0)
    assert math.isnan(found.pearson) and not found.mse < math.inf and found.floor_mse == pytest.approx(2 / 3)
    assert math.isnan(found.spearman) == math.isnan(bad)


def test_single_precision_answers():
    gold, said = np.array([1.0, 2, 4], np.float32), np.array([1000.1, 2000.2, 4000.4], np.float32)
    assert isinstance(correlation(gold, said, 0.0).pearson, float)
    assert correlation(gold, said, 0.0).mse == pytest.approx(np.mean((gold.astype(float) - said.astype(float)) ** 2), rel=1e-14)


@pytest.mark.parametrize(("gold", "said"), [([1.0, 2], [1.0]), ([1.0, 2], [[1.0], [2]])])
def test_one_answer_for_each_example(gold, said):
    with pytest.raises(ValueError, match="equal length"):
        correlation(np.array(gold), np.array(said), 0.0)
