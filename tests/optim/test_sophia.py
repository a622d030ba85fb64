"""Sophia: its estimate of the curvature, and its step."""

import naive
import numpy as np
import pytest

from nlmcli.engine.gradient.team import Team
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.training.records import Stepped
from nlmcli.models import MODELS
from nlmcli.nn.cross_entropy import head_draw
from nlmcli.optim.sophia import Config, Sophia

V = 5


def quadratic_path(curvature, steps, lr, **constants):
    """θ after each step on ½ Σ c θ², starting from 1; the gradient is c θ, and the estimate of the curvature c is exact, n ĝ² = c."""
    optimizer, theta, path = Sophia(Config(**constants), len(curvature), np.float64), np.ones(len(curvature)), []
    for t in range(1, steps + 1):
        if optimizer.needs_curvature(t):
            optimizer.measure(np.sqrt(curvature / 8), 8)
        optimizer.step(theta, curvature * theta, 1.0, lr, t)
        path.append(theta.copy())
    return np.array(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_as_published(dtype):
    rng = np.random.default_rng(0)
    theta, gs, drawn = (rng.normal(size=size).astype(dtype) for size in (7, (23, 7), (3, 7)))
    optimizer, moved, curvatures = Sophia(Config(), 7, dtype, [slice(0, 7)]), theta.copy(), []
    for t, g in enumerate(gs, 1):
        measured = drawn[len(curvatures) // 10] if optimizer.needs_curvature(t) else None
        if measured is not None:
            optimizer.measure(measured, 40)
        curvatures.append(None if measured is None else 40 * measured.astype(float) ** 2)
        optimizer.step(moved, g, 0.5, 0.05, t)
    assert [t for t, c in enumerate(curvatures, 1) if c is not None] == [1, 11, 21]
    expected = [
        naive.sophia(float(theta[i]), 0.5 * gs[:, i].astype(float), [c if c is None else c[i] for c in curvatures], 0.05) for i in range(7)
    ]
    np.testing.assert_allclose(moved, expected, rtol=1e-5 if dtype == np.float32 else 1e-10, atol=1e-6 if dtype == np.float32 else 0)


def test_no_parameter_moves_further_than_the_learning_rate():
    rng = np.random.default_rng(1)
    optimizer, theta = Sophia(Config(weight_decay=0.0), 1000, np.float64), rng.normal(size=1000)
    for t in range(1, 30):
        if optimizer.needs_curvature(t):
            optimizer.measure(rng.normal(size=1000) * 10.0 ** rng.integers(-8, 2, 1000), 10)
        before = theta.copy()
        optimizer.step(theta, rng.normal(size=1000) * 10.0 ** rng.integers(-9, 4, 1000), 1.0, 0.01, t)
        moved = np.abs(theta - before)
        assert moved.max() <= 0.01 * (1 + 1e-12)
    assert (moved > 0.0099).any() and (moved < 0.005).any()  # some steps were clipped and some were not


def test_without_curvature_each_parameter_moves_by_the_learning_rate_against_its_gradient():
    optimizer, theta = Sophia(Config(), 3, np.float64), np.zeros(3)
    optimizer.step(theta, np.array([1e-6, -5.0, 0.0]), 1.0, 0.01, 1)
    np.testing.assert_array_equal(theta, [-0.01, 0.01, 0])


def test_convergence_does_not_depend_on_the_condition_number():
    """All directions converge alike, the flattest as fast as one a million times steeper; with sgd, the flat ones barely move."""
    curvature = np.array([1e-3, 1.0, 1e3])
    path = quadratic_path(curvature, 600, lr=0.02)
    np.testing.assert_allclose(path, path[:, :1] * np.ones(3), rtol=1e-6, atol=1e-12)
    assert np.abs(path[-1]).max() < 1e-3
    theta = np.ones(3)
    for _ in range(600):
        theta -= 1.9 / curvature.max() * curvature * theta  # above 2 / c the steepest direction would diverge
    assert theta[0] > 0.99


def test_with_exact_curvature_it_is_newtons_method():
    """With h = c, γ = 1 and no moving averages, θ becomes (1 - η) θ: halfway to the minimum with η = ½, whatever c."""
    path = quadratic_path(np.array([1e-4, 3.0, 1e5]), 5, lr=0.5, beta1=0.0, beta2=0.0, gamma=1.0)
    np.testing.assert_allclose(path, 0.5 ** np.arange(1, 6)[:, None] * np.ones(3), rtol=1e-9)


def test_sampled_words_have_the_probabilities_of_the_softmax():
    """With evenly spaced u, the count of each word is n p, to within one."""
    rng = np.random.default_rng(2)
    h, U, b2 = rng.normal(size=(1, 3)), rng.normal(size=(3, V)), rng.normal(size=V)
    n = 10_000
    drawn = head_draw(np.repeat(h, n, 0), U, b2, np.zeros(n, np.int64), (np.arange(n) + 0.5) / n)
    np.testing.assert_allclose(np.bincount(drawn, minlength=V), n * naive.softmax(naive.linear(h, U, b2))[0], atol=1.01)


def test_sampled_ids_are_in_range_and_padding_stays():
    h, U, b2 = np.zeros((4, 3), np.float32), np.zeros((3, V), np.float32), np.zeros(V, np.float32)
    targets, u = np.array([2, -1, 0, -1]), np.array([0.0, 0.5, 1 - 1e-17, 0.5])
    np.testing.assert_array_equal(head_draw(h, U, b2, targets, u), [0, -1, V - 1, -1])


def test_a_head_may_be_the_transposed_embeddings_without_a_bias():
    rng = np.random.default_rng(5)
    h, E, u = rng.normal(size=(40, 3)), rng.normal(size=(V, 3)), rng.random(40)
    targets = np.zeros(40, np.int64)
    expected = head_draw(h, np.ascontiguousarray(E.T), np.zeros(V), targets, u)
    np.testing.assert_array_equal(head_draw(h, E.T, np.zeros(0), targets, u), expected)
    assert len(set(expected)) == V


@pytest.fixture
def small(sizes):
    """An rnn in float64, a batch with padding, and states other than the initial ones."""
    RNN = MODELS.get("rnn")
    model = RNN(RNN.Config(**sizes("rnn", layers=1, embed=3, hidden=4)), V, newline=1)
    rng = np.random.default_rng(3)
    P = model.initialize(rng, np.float64)
    P.flat += 0.3 * rng.standard_normal(P.flat.size)
    x, y = rng.integers(0, V, (2, 3, 4))
    y[2, 1] = y[0, 3] = -1
    team = Team(model, 1)
    *_, states = team.gradient(P, P.zeros_like(), Batch(y % V, x, True), team.start(4, np.float64))
    return model, P, Batch(x, y, False), states


def curvature(model, P, batch, states):
    """(1/n) Σ over the tokens Σ_v p_v (d -ln p_v / dθ)²: the diagonal of the Gauss-Newton matrix, from a gradient per token and word."""
    team, total, real = Team(model, 1), 0.0, np.argwhere(batch.y >= 0)
    for t, b in real:
        for v in range(V):
            y, G = np.full_like(batch.y, -1), P.zeros_like()
            y[t, b] = v
            team.touched = []
            nll, *_ = team.gradient(P, G, Batch(batch.x, y, False), states)
            total += np.exp(-nll) * G.flat**2
    return total / len(real)


def test_the_estimate_is_the_diagonal_of_the_gauss_newton_matrix_on_average(small):
    model, P, batch, states = small
    expected, n = curvature(model, P, batch, states), np.count_nonzero(batch.y >= 0)
    team, G, estimates = Team(model, 1), P.zeros_like(), []
    for step in range(1500):
        drawn = team.draw(P, batch, states, (11, step))
        team.gradient(P, G, drawn, states, (11, step))
        optimizer = Sophia(Config(beta2=0.0), G.flat.size, np.float64)
        optimizer.measure(G.flat, n)
        estimates.append(optimizer.memory["h"])
    mean, error = np.mean(estimates, 0), np.std(estimates, 0) / np.sqrt(len(estimates))
    assert np.abs(mean - expected).max() > 0  # checks the test itself: it is an estimate
    assert (np.abs(mean - expected) <= 5 * error + 1e-12).all()
    assert np.abs(mean - expected).sum() <= 0.05 * expected.sum()


def test_drawing_targets_does_not_modify_the_batch(small):
    model, P, batch, states = small
    before = [array.copy() for array in (batch.x, batch.y, *(memory for state in states for memory in state))]
    draws = [Team(model, 1).draw(P, batch, states, (1, step)) for step in (0, 0, 1)]
    for array, original in zip((batch.x, batch.y, *(memory for state in states for memory in state)), before, strict=True):
        np.testing.assert_array_equal(array, original)
    np.testing.assert_array_equal(draws[0].y, draws[1].y)
    assert not np.array_equal(draws[0].y, draws[2].y)
    np.testing.assert_array_equal(draws[0].y < 0, batch.y < 0)
    assert draws[0].y.max() < V and draws[0].x is batch.x


def test_sampled_words_do_not_depend_on_threads_or_blocks(sizes, monkeypatch):
    Additive = MODELS.get("additive")
    model = Additive(Additive.Config(**sizes("additive")), 1200, newline=1)
    P = model.initialize(np.random.default_rng(0))
    x, y = np.random.default_rng(1).integers(0, 1200, (2, 5, 9))
    draws = [Team(model, threads).draw(P, Batch(x, y, True), Team(model).start(9), (1, 0)).y for threads in (1, 2, 4)]
    monkeypatch.setattr("nlmcli.nn.cross_entropy.BLOCK", 3000)
    draws.append(Team(model).draw(P, Batch(x, y, True), Team(model).start(9), (1, 0)).y)
    assert all(np.array_equal(draws[0], draw) for draw in draws)
    assert len(np.unique(draws[0])) > 30  # of 45: the first predictions are nearly uniform


@pytest.mark.parametrize(("name", "given"), [("rnn", {}), ("rnn", {"by": "line", "dropout": 0.3}), ("transformer", {"tokenizer": "byte"})])
def test_the_bits_do_not_depend_on_the_number_of_threads(training, name, given):
    results = set()
    for threads in (1, 2, 4):
        trained = training(name, threads, steps=12, batch_size=6, optimizer="sophia", **given)
        for _ in trained.run():
            pass
        results.add((trained.lm.P.flat.tobytes(), trained.learner.optimizer.memory["h"].tobytes(), tuple(trained.progress.losses)))
    assert len(results) == 1


def test_a_run_estimates_curvature_every_tenth_step_without_changing_its_gradient(training):
    plain, measured = training(optimizer="sgd", steps=1, eval_every=0), training(optimizer="sophia", steps=25, eval_every=0)
    steps, measure = [], measured.learner.update_curvature
    measured.learner.update_curvature = lambda *args: (steps.append(measured.progress.step), measure(*args))
    norms = [[r.gradient_norm for r in run.run() if isinstance(r, Stepped)] for run in (plain, measured)]
    assert norms[0][0] == norms[1][0] and plain.progress.losses[0] == measured.progress.losses[0]
    assert steps == [0, 10, 20] and (measured.learner.optimizer.memory["h"] > 0).any()
