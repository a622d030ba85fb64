"""AdamW: Adam's step with decoupled weight decay."""

import naive
import numpy as np
import pytest

from nlmcli.models import MODELS
from nlmcli.optim.adam import Adam
from nlmcli.optim.adamw import AdamW, Config

LR, DECAY = 0.05, 0.4
MATRICES = {
    "additive": ["E", "U"],
    "mamba": ["E", "Wx", "Wz", "K", "WB", "WC", "W1", "W2", "Wo", "U"],
    "transformer": ["E", "Ep", "Wqkv", "Wo", "W1", "W2"],
    "nplm": ["E", "W1", "W2", "W3"],
    "rnn": ["E", "We", "Wx", "Wh", "U"],
}


def steps(theta, gs, decayed=(), **constants):
    """θ after AdamW's steps with these gradients, in float64."""
    optimizer, moved = AdamW(Config(**{"weight_decay": DECAY} | constants), theta.size, np.float64, decayed), theta.copy()
    for t, g in enumerate(gs, 1):
        optimizer.step(moved, g, 1.0, LR, t)
    return moved


@pytest.fixture
def theta():
    return np.random.default_rng(0).normal(size=9)


@pytest.fixture
def gs():
    return np.random.default_rng(1).normal(size=(12, 9))


def test_it_is_as_published(theta, gs):
    expected = [naive.adamw(theta[i], gs[:, i], LR, DECAY) for i in range(9)]
    np.testing.assert_allclose(steps(theta, gs, [slice(0, 9)]), expected, rtol=1e-10)


def test_parameters_without_decay_move_as_with_adam(theta, gs):
    adam, expected = Adam(Adam.Config(), 9, np.float64), theta.copy()
    for t, g in enumerate(gs, 1):
        adam.step(expected, g, 1.0, LR, t)
    actual = steps(theta, gs, [slice(0, 2), slice(4, 7)])
    assert actual[2:4].tobytes() == expected[2:4].tobytes() and actual[7:].tobytes() == expected[7:].tobytes()
    assert not np.isclose(actual[:2], expected[:2]).any() and not np.isclose(actual[4:7], expected[4:7]).any()
    assert steps(theta, gs).tobytes() == expected.tobytes()


def test_with_zero_gradients_weights_shrink_by_the_same_factor_each_step_and_biases_stay(theta):
    actual = steps(theta, np.zeros((12, 9)), [slice(0, 5)])
    np.testing.assert_allclose(actual[:5], theta[:5] * (1 - LR * DECAY) ** 12, rtol=1e-13)
    assert actual[5:].tobytes() == theta[5:].tobytes()


def test_decay_that_is_part_of_the_gradient_does_not_shrink_weights_proportionally(theta):
    """Adam divides λ θ by its magnitude: every weight moves by η towards 0, however large it and λ are."""
    for decay in (DECAY, DECAY / 100):
        moved = [naive.adam(weight, [decay * weight], LR, epsilon=0) for weight in theta]
        np.testing.assert_allclose(moved, theta - LR * np.sign(theta), rtol=1e-12)


def test_the_decay_does_not_depend_on_the_scale_of_the_loss(theta, gs):
    """For a loss a thousand times as large, Adam's step and the decay are the same; decay in the gradient would all but vanish."""
    actual = [steps(theta, scale * gs, [slice(0, 9)], epsilon=0.0) for scale in (1, 1000)]
    np.testing.assert_allclose(actual[0], actual[1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_updating_by_parts_equals_the_whole_update_bit_for_bit(dtype):
    rng = np.random.default_rng(2)
    theta, g = rng.normal(size=(2, 100)).astype(dtype)
    decayed = [slice(0, 30), slice(41, 42), slice(60, 100)]
    whole, parts = theta.copy(), theta.copy()
    first, second = (AdamW(Config(), 100, dtype, decayed) for _ in range(2))
    for t in (1, 2):
        first.step(whole, g, 0.5, LR, t)
        for part in (slice(0, 41), slice(41, 64), slice(64, 100)):
            second.step(parts, g, 0.5, LR, t, part)
    assert whole.tobytes() == parts.tobytes()


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_and_embeddings_are_decayed_and_biases_are_not(name, sizes):
    Architecture = MODELS.get(name)
    model = Architecture(Architecture.Config(**sizes(name)), 7, newline=1)
    assert model.matrices() == MATRICES[name]
    P = model.initialize(np.random.default_rng(0))
    marked = P.zeros_like()
    for part in P.slices(model.matrices()):
        marked.flat[part] = 1
    assert {letter for letter, value in marked.items() if value.all()} == set(MATRICES[name])
    assert {letter for letter, value in marked.items() if value.any()} == set(MATRICES[name])


def test_a_run_decays_its_weights(training):
    """The difference from Adam after the first step of a run: η λ times each matrix, nothing for biases."""
    runs = [training(optimizer=name, steps=1, eval_every=0, schedule="constant", layers=2) for name in ("adam", "adamw")]
    before = runs[0].lm.P.flat.copy()
    for run in runs:
        list(run.run())
    adam, adamw = (run.lm.P for run in runs)
    start = type(adam)(adam.shapes, before)
    for letter, value in adamw.items():
        shrunk = 0.01 * 0.1 * start[letter] if letter in runs[0].lm.model.matrices() else 0
        np.testing.assert_allclose(adam[letter] - value, shrunk, atol=1e-7)
