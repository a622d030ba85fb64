"""exp, sigmoid, tanh and softplus in a kernel against NumPy in float64; maximum and sums of a row against Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nlmcli.nn.elementary import dot, exp, largest, sigmoid, softplus, square_sum, tanh, total
from nlmcli.nn.kernel import JIT, kernel

REALS = [np.float32, np.float64]
RANGE = {np.float32: 87.0, np.float64: 708.0}  # arguments of exp, from minus this to this
COUNT = 500_000 if JIT else 5_000  # numbers in a grid


@kernel
def exp_of(x, y):
    for i in range(x.size):
        y[i] = exp(x[i])


@kernel
def sigmoid_of(x, y):
    for i in range(x.size):
        y[i] = sigmoid(x[i])


@kernel
def tanh_of(x, y):
    for i in range(x.size):
        y[i] = tanh(x[i])


@kernel
def softplus_of(x, y):
    for i in range(x.size):
        y[i] = softplus(x[i])


@kernel
def largest_of(row):
    return largest(row)


def values(function, x):
    """The kernel's values for an array; without the JIT, NumPy's exp may overflow to infinity with a warning."""
    y = np.empty_like(x)
    with np.errstate(over="ignore"):
        function(x, y)
    return y


def grid(real, width):
    """A dense grid from -width to width, with both sides of the points where exp changes from one 2ⁿ to the next."""
    edges = ((np.arange(-width, width) + 0.5) * math.log(2)).astype(real)
    edges = np.concatenate([np.nextafter(edges, real(-np.inf)), edges, np.nextafter(edges, real(np.inf))])
    small = np.geomspace(1e-30, 1, 1000).astype(real)
    return np.concatenate([np.linspace(-width, width, COUNT).astype(real), edges[abs(edges) <= width], small, -small])


def relative_error(actual, exact):
    return np.max(np.abs(actual / exact - 1))


@pytest.mark.parametrize(("real", "error"), [(np.float32, 1e-7 if JIT else 3e-7), (np.float64, 1e-14)])
def test_relative_error_of_exp(real, error):
    x = grid(real, RANGE[real])
    assert relative_error(values(exp_of, x), np.exp(x.astype(float))) <= error


@pytest.mark.parametrize(("real", "error"), [(np.float32, 3e-7), (np.float64, 1e-14)])
def test_relative_error_of_sigmoid(real, error):
    for width in (10.0, RANGE[real]):
        x = grid(real, width)
        assert relative_error(values(sigmoid_of, x), 1 / (1 + np.exp(-x.astype(float)))) <= error


@pytest.mark.parametrize(("real", "error"), [(np.float32, 2e-7), (np.float64, 1e-14)])
def test_absolute_error_of_tanh(real, error):
    for width in (10.0, RANGE[real]):
        x = grid(real, width)
        assert np.max(np.abs(values(tanh_of, x) - np.tanh(x.astype(float)))) <= error


@pytest.mark.parametrize(("real", "error"), [(np.float32, 4e-7), (np.float64, 1e-14)])
def test_relative_error_of_softplus(real, error):
    for width in (10.0, RANGE[real]):
        x = grid(real, width)
        assert relative_error(values(softplus_of, x), np.logaddexp(0, x.astype(float))) <= error


@pytest.mark.parametrize("real", REALS)
def test_limits_for_large_arguments(real):
    far = np.array([RANGE[real] + 5, 1000, np.finfo(real).max, np.inf], real)
    assert (values(exp_of, far) >= math.exp(RANGE[real] * 0.999)).all()
    limits = [(-far, exp_of, 0), (far, sigmoid_of, 1), (-far, sigmoid_of, 0), (far, tanh_of, 1), (-far, tanh_of, -1)]
    for x, function, limit in (*limits, (-far, softplus_of, 0)):
        np.testing.assert_allclose(values(function, x), limit, rtol=0, atol=2e-38)


@pytest.mark.parametrize("real", REALS)
def test_exp_is_monotonic(real):
    """Up to rounding: softmax must not swap the order of two probabilities."""
    y = values(exp_of, np.linspace(-RANGE[real] - 5, RANGE[real] + 5, COUNT).astype(real))
    y = y[np.isfinite(y)]
    assert (y[1:] >= y[:-1] * (1 - 2 * np.finfo(real).eps)).all()


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("function", [exp_of, sigmoid_of, tanh_of, softplus_of])
def test_nan_stays_nan_and_affects_nothing_else(function, real):
    x = np.linspace(-3, 3, 67).astype(real)  # four vectors and a remainder
    clean = values(function, x)
    for sign in (1, -1):
        for index in (0, 20, 66):
            with_nan = x.copy()
            with_nan[index] = np.copysign(np.nan, sign)
            with np.errstate(invalid="ignore"):  # without the JIT, NumPy warns about the NaN
                actual = values(function, with_nan)
            assert np.isnan(actual[index])
            np.testing.assert_array_equal(np.delete(actual, index), np.delete(clean, index))


def rows_of(real, elements, least=0):
    return arrays(real, st.integers(least, 100), elements=elements, fill=st.nothing())


def numbers(real):
    return st.floats(allow_nan=False, width=np.dtype(real).itemsize * 8)


@pytest.mark.parametrize("real", REALS)
@given(data=st.data(), sign=st.sampled_from([None, 1, -1]))
def test_largest_is_the_maximum(real, data, sign):
    row = data.draw(rows_of(real, numbers(real), least=1))
    row = row if sign is None else np.copysign(row, real(sign))
    assert largest_of(row) == max(row.tolist())


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("row", [[0.0, -0.0], [-0.0, 0.0], [-0.0], [5e-324, 0.0], [-1e-45, -1e-40], [-np.inf], [np.inf, 3.0], [-1.5] * 40])
def test_largest_of_edge_cases(real, row):
    row = np.array(row, real)
    assert largest_of(row) == row.max()


@pytest.mark.parametrize("real", REALS)
@given(data=st.data())
def test_sums_of_integers_are_exact(real, data):
    row = data.draw(rows_of(real, st.integers(-99, 99).map(float)))
    assert total(row) == math.fsum(row)
    assert square_sum(row) == math.fsum(row * row)
    assert dot(row, row[::-1].copy()) == math.fsum(row * row[::-1])


@pytest.mark.parametrize("real", REALS)
@given(size=st.integers(1, 3000), seed=st.integers(0, 99))
def test_sums_are_correct_to_rounding(real, size, seed):
    row = np.random.default_rng(seed).normal(size=size).astype(real)
    exact, eps = row.astype(float), size * np.finfo(real).eps
    assert abs(total(row) - math.fsum(exact)) <= eps * math.fsum(abs(exact))
    assert abs(square_sum(row) - math.fsum(exact**2)) <= (eps + np.finfo(real).eps) * math.fsum(exact**2)
    assert total(row) == total(row.copy())
