"""Draws from weights: each index with its share, none without weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.nn.draw import STRETCH, draw, draw_each


@given(st.integers(1, 3 * STRETCH), st.integers(0, 2**32 - 1), st.floats(0, 1, exclude_max=True))
def test_the_drawn_index_is_where_the_sum_passes_u(size, seed, u):
    rng = np.random.default_rng(seed)
    weights = (rng.random(size) * (rng.random(size) < 0.5)).astype(np.float32)
    weights[rng.integers(size)] = 1
    i = draw(weights, u)
    sums = np.concatenate([[0], weights.astype(np.float64).cumsum()])
    slack = 1e-6 * sums[-1]
    assert weights[i] > 0 and sums[i] - slack <= u * sums[-1] <= sums[i + 1] + slack


def test_a_temperature_sharpens_the_distribution():
    z, u = np.tile(np.log(np.array([[0.1, 0.2, 0.7]], np.float32)), (20000, 1)), (np.arange(20000) + 0.5) / 20000
    for temperature, expected in ((1.0, [0.1, 0.2, 0.7]), (0.5, np.array([0.01, 0.04, 0.49]) / 0.54), (5e-324, [0, 0, 1])):
        drawn = np.empty(len(u), np.int64)
        draw_each(z.copy(), temperature, u, drawn)
        assert np.bincount(drawn, minlength=3) / len(u) == pytest.approx(np.array(expected), abs=1e-3)
