"""What every architecture must do. A new file in models/ is tested without a new test.

Comparisons with PyTorch are in tests/golden. Models that are not neural have their own tests.
"""

import math

import numpy as np
import pytest
from whole import loss_and_gradient

from nlmcli.engine.checking.gradcheck import all_pairs, check_model
from nlmcli.engine.gradient import team
from nlmcli.engine.gradient.team import Team
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.models import MODELS, neural_names
from nlmcli.models.base import Model
from nlmcli.nn.philox import Philox
from nlmcli.nn.precision import PRECISIONS, products_in

pytestmark = pytest.mark.parametrize("name", neural_names())

V, T, B = 7, 6, 4

# (model, parameter): the reason why it never gets a gradient.
DEAD: dict[tuple[str, str], str] = {}


@pytest.fixture
def small(name, sizes):
    """A small model in float64 with random parameters."""
    Architecture = MODELS.get(name)
    model = Architecture(Architecture.Config(**sizes(name)), V, newline=1)
    rng = np.random.default_rng(3)
    P = model.initialize(rng, np.float64)
    P.flat += 0.2 * rng.standard_normal(P.flat.size)
    return model, P, rng.integers(0, V, (T, B))


def in_segments(model, P, x, lengths):
    """h of x read segment by segment with the state carried over, and the final state."""
    state, parts = model.start(x.shape[1], P.flat.dtype), []
    for segment in np.split(x, np.cumsum(lengths)[:-1]):
        h, state, _ = model.forward(P, segment, state)
        parts.append(h)
    return np.concatenate(parts), state


def test_every_gradient_agrees_with_central_differences(name):
    for row in check_model(name):
        assert row.error <= 1e-6, row


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (3, 1), (2, 3), (9, 5)])
def test_directional_derivatives_agree_with_central_differences_for_all_sizes(name, small, steps, batch):
    model, P, _ = small
    rng = np.random.default_rng(steps)
    x, y = rng.integers(0, V, (2, steps, batch))
    state = model.forward(P, rng.integers(0, V, (2, batch)), model.start(batch, P.flat.dtype))[1]
    _, _, _, G = loss_and_gradient(model, P, x, y, state)
    theta = P.flat.copy()
    for _ in range(3):
        direction, losses = rng.standard_normal(P.flat.size), []
        for step in (1e-5, -1e-5):
            P.flat[:] = theta + step * direction
            losses.append(loss_and_gradient(model, P, x, y, state)[0])
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(G.flat @ direction, rel=1e-6, abs=1e-7)


def test_later_tokens_do_not_change_a_bit_of_earlier_outputs(name, small):
    model, P, x = small
    h, _, _ = model.forward(P, x, model.start(B, P.flat.dtype))
    for t in range(T - 1):
        changed_x = x.copy()
        changed_x[t + 1 :] = (x[t + 1 :] + 1) % V
        changed, _, _ = model.forward(P, changed_x, model.start(B, P.flat.dtype))
        assert changed[: t + 1].tobytes() == h[: t + 1].tobytes()
        assert not np.array_equal(changed[t + 1], h[t + 1])


@pytest.mark.parametrize("lengths", [(1,) * T, (1, 3, 2), (4, 1, 1)])
def test_segments_with_carried_state_equal_the_whole_sequence(name, small, lengths):
    model, P, x = small
    whole, end = in_segments(model, P, x, (T,))
    parts, end_of_parts = in_segments(model, P, x, lengths)
    np.testing.assert_allclose(parts, whole, rtol=1e-12, atol=1e-13)
    for a, b in zip(end_of_parts, end, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_permuting_the_batch_permutes_the_output_and_the_state(name, small):
    model, P, x = small
    order = np.array([2, 0, 3, 1])
    h, state, _ = model.forward(P, x, model.start(B, P.flat.dtype))
    permuted, permuted_state, _ = model.forward(P, np.ascontiguousarray(x[:, order]), model.start(B, P.flat.dtype))
    np.testing.assert_allclose(permuted, h[:, order], rtol=1e-12, atol=1e-13)
    for a, b in zip(permuted_state, state, strict=True):
        np.testing.assert_allclose(a, b[:, order], rtol=1e-12, atol=1e-13)


def test_forward_and_backward_do_not_modify_their_inputs(name, small):
    model, P, x = small
    before, state = P.flat.copy(), model.forward(P, x, model.start(B, P.flat.dtype))[1]
    state_before, ids = [s.copy() for s in state], x.copy()
    loss_and_gradient(model, P, x, x, state)
    np.testing.assert_array_equal(P.flat, before)
    np.testing.assert_array_equal(x, ids)
    for a, b in zip(state, state_before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_backward_accumulates_gradients(name, small):
    model, P, x = small
    h, _, cache = model.forward(P, x, model.start(B, P.flat.dtype))
    dh = np.random.default_rng(5).normal(size=h.shape)
    once, twice = P.zeros_like(), P.zeros_like()
    model.backward(dh.copy(), cache, once)
    for _ in range(2):
        h, _, cache = model.forward(P, x, model.start(B, P.flat.dtype))
        model.backward(dh.copy(), cache, twice)
    np.testing.assert_allclose(twice.flat, 2 * once.flat, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_fused_step_equals_the_separate_steps(name, sizes, layers, dtype):
    Architecture = MODELS.get(name)
    chosen = sizes(name) | ({"layers": layers} if "layers" in sizes(name) else {})
    model = Architecture(Architecture.Config(**chosen), V, newline=1)
    rng = np.random.default_rng(5)
    P = model.initialize(rng, dtype)
    x, y = rng.integers(0, V, (2, T, B))
    y[-1, 0] = -1
    state = model.forward(P, rng.integers(0, V, (3, B)), model.start(B, dtype))[1]
    G, H = P.zeros_like(), P.zeros_like()
    loss, after = model.step(P, x, y.reshape(-1), state, 0.1, G)
    parts_loss, parts_after = Model.step(model, P, x, y.reshape(-1), state, 0.1, H)
    assert loss == pytest.approx(parts_loss, rel=1e-6)
    assert [a.tobytes() for a in after] == [a.tobytes() for a in parts_after]
    if name in ("window", "nplm"):  # tables sum in another order than matrix products
        np.testing.assert_allclose(G.flat, H.flat, rtol=0, atol=20 * np.finfo(dtype).eps * abs(H.flat).max())
    else:
        assert G.flat.tobytes() == H.flat.tobytes()


def test_a_saved_model_is_loaded_bit_for_bit(name, training, tmp_path):
    trained = training(name, steps=3, layers=2)
    for _ in trained.run():
        pass
    trained.lm.save(tmp_path / "copy.npz")
    loaded = LanguageModel.load(tmp_path / "copy.npz")
    assert loaded.P.flat.tobytes() == trained.lm.P.flat.tobytes()
    assert loaded.tokenizer.to_dict() == trained.lm.tokenizer.to_dict()
    x = np.arange(12).reshape(6, 2) % len(loaded.tokenizer)
    outputs = [lm.model.forward(lm.P, x, lm.model.start(2))[0].tobytes() for lm in (trained.lm, loaded)]
    assert outputs[0] == outputs[1]


def test_the_bits_do_not_depend_on_the_number_of_threads(name, training):
    results = set()
    for threads in (1, 2, 4):
        trained = training(name, threads, steps=5, layers=2, dropout=0.3, batch_size=6)
        for _ in trained.run():
            pass
        results.add((trained.lm.P.flat.tobytes(), tuple(trained.progress.losses)))
    assert len(results) == 1


BATCHES = [(5, 3), (5, 3), (2, 3), (1, 1), (6, 9), (5, 3)]  # (T,B), fewer and more words than in a vocabulary, in sequence


OUTPUTS = [
    {"tie": tie, **softmax} for tie in (False, True) for softmax in ({}, {"softmax": "adaptive", "cutoffs": "2,4"})
]  # of every model: tied or not, with clusters or not


def team_gradients(name, sizes, vocabulary, threads, dtype, precision="float32", **given):
    """A model, its parameters, and (batch, loss, G, |G|) of several batches of one Team, with the state carried over."""
    Architecture, dropout = MODELS.get(name), given.get("dropout")
    model = Architecture(Architecture.Config(**sizes(name, **given)), vocabulary, newline=1)
    P = model.initialize(np.random.default_rng(3), dtype)
    team, G, rng, results, states = Team(model, threads), P.zeros_like(), np.random.default_rng(4), [], []
    for step, (steps, batch_size) in enumerate(BATCHES):
        x, y = rng.integers(0, vocabulary, (2, steps, batch_size))
        y[0, 0] = -1 if y.size > 1 else y[0, 0]
        fresh = step == 0 or batch_size != BATCHES[step - 1][1]
        if fresh:
            states = team.start(batch_size, dtype)
        with products_in(precision):
            loss, norm, states = team.gradient(P, G, Batch(x, y, fresh), states, (7, step) if dropout else None)
        results.append((Batch(x, y, fresh), loss, G.flat.copy(), norm))
    return model, P, results


@pytest.mark.parametrize(("vocabulary", "large"), [(7, 1024), (7, 5), (60, 1024), (1200, 1024)])
def test_shard_gradients_sum_to_the_gradient_of_the_batch(name, sizes, monkeypatch, vocabulary, large):
    monkeypatch.setattr(team, "LARGE", large)
    for output in OUTPUTS:
        model, P, results = team_gradients(name, sizes, vocabulary, 1, np.float64, **output)
        state = ()
        for batch, loss, gradient, norm in results:
            if batch.fresh:
                state = model.start(batch.x.shape[1], np.float64)
            expected, _, state, G = loss_and_gradient(model, P, batch.x, batch.y, state)
            assert loss == pytest.approx(expected, rel=1e-12)
            np.testing.assert_allclose(gradient, G.flat, rtol=1e-9, atol=1e-12)
            assert norm == pytest.approx(np.linalg.norm(G.flat), rel=1e-6)


@pytest.mark.parametrize(
    ("vocabulary", "embed", "precision"), [(7, 5, "float32"), (60, 5, "bf16"), (1200, 70, "float32"), (1200, 70, "bf16")]
)
def test_the_bits_of_shard_gradients_do_not_depend_on_the_number_of_threads(name, sizes, vocabulary, embed, precision):
    for output in OUTPUTS:
        given = {"dropout": 0.3, "embed": embed, "precision": precision, **output}
        runs = [team_gradients(name, sizes, vocabulary, threads, np.float32, **given)[2] for threads in (1, 2, 4)]
        bits = [[(loss, gradient.tobytes(), norm) for _, loss, gradient, norm in results] for results in runs]
        assert bits[0] == bits[1] == bits[2]


def test_the_gradient_in_bf16_is_that_of_float32_with_rounded_inputs(name, sizes):
    """Neither equal nor far away: a relative distance of some 2⁻⁸."""
    given = {"embed": 70, "hidden": 70}
    (*_, exact), (*_, rounded) = (team_gradients(name, sizes, 60, 1, np.float32, precision, **given) for precision in PRECISIONS)
    for (_, loss, G, _), (_, rounded_loss, rounded_G, _) in zip(exact, rounded, strict=True):
        assert rounded_loss == pytest.approx(loss, rel=1e-3)
        assert 1e-6 < np.linalg.norm(rounded_G - G) / np.linalg.norm(G) < 0.03


def test_it_can_memorize_twenty_characters(name, training, tmp_path):
    text = tmp_path / "twenty.txt"
    text.write_text("students open a book")  # no three characters, in whatever order, are followed by two different ones
    sizes = {"embed": 16, "hidden": 16, "context": 3}
    options = {"corpus": (str(text),), "valid_fraction": 0.0, "batch_size": 1, "seq_len": 20, "steps": 300, "lr": 0.05}
    trained = training(name, **options, **sizes)
    for _ in trained.run():
        pass
    assert trained.progress.losses[-1] < 0.05


def test_the_seed_determines_the_first_ten_losses(name, training):
    losses = []
    for seed in (5, 5, 6):
        trained = training(name, steps=10, eval_every=0, seed=seed)
        for _ in trained.run():
            pass
        losses.append(trained.progress.losses)
    assert len(losses[0]) == 10
    assert losses[0] == losses[1] != losses[2]


def test_every_parameter_not_listed_as_dead_has_a_gradient(name, small):
    model, P, x = small
    x = np.resize(np.random.default_rng(4).permutation(V), (T, B))  # every id is read
    _, _, _, G = loss_and_gradient(model, P, x, (x + 1) % V, model.start(B, P.flat.dtype))
    largest = np.abs(G.flat).max()
    for letter, gradient in G.items():
        by_row = np.abs(gradient).reshape(len(gradient), -1).max(1)
        if (name, letter) in DEAD:
            assert by_row.max() < 1e-12 * largest, f"{letter} is listed as dead, but has a gradient"
        else:
            assert by_row.min() > 1e-12 * largest, f"{letter} has rows without a gradient: {np.flatnonzero(by_row == 0)}"


@pytest.mark.parametrize("tie", [False, True])
def test_an_adaptive_softmax_scores_draws_and_predicts_by_the_same_probabilities(name, sizes, tie):
    Architecture = MODELS.get(name)
    model = Architecture(Architecture.Config(**sizes(name, tie=tie, softmax="adaptive", cutoffs="2,4")), V, newline=1)
    rng = np.random.default_rng(3)
    P = model.initialize(rng, np.float64)
    P.flat += 0.3 * rng.standard_normal(P.flat.size)
    x, y = rng.integers(0, V, (2, T, B))
    state = model.start(B, np.float64)
    nll, rank, _ = model.score(P, x, y, state)
    h = model.forward(P, x, state)[0].reshape(T * B, -1)
    log_p, rows, targets = model.logits(P, h), np.arange(T * B), y.reshape(-1)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(nll, -log_p[rows, targets], rtol=1e-12)
    np.testing.assert_array_equal(rank, (log_p > log_p[rows, targets, None]).sum(1))
    total, _ = model.step(P, x, targets, state, 1.0, P.zeros_like())
    assert total == pytest.approx(nll.sum(), rel=1e-12)
    drawn = model.draw(P, x, targets, state, None, np.zeros(T * B))
    np.testing.assert_array_equal(drawn, 0)  # u = 0 draws the first word


@pytest.mark.parametrize("vocabulary", [28, 2000])
def test_the_initial_loss_is_that_of_a_uniform_prediction(name, vocabulary):
    Architecture = MODELS.get(name)
    model = Architecture(Architecture.Config(), vocabulary, newline=0)
    P = model.initialize(np.random.default_rng(0))
    x, y = np.random.default_rng(1).integers(0, vocabulary, (2, 4, 4))
    h, _, _ = model.forward(P, x, model.start(4))
    loss, _ = all_pairs()["linear_cross_entropy"].forward(h.reshape(16, -1), *model.head(P), y.reshape(-1))
    assert loss == pytest.approx(math.log(vocabulary), rel=0.05)


def test_dropout_is_for_training_only_and_determined_by_its_generator(name, sizes):
    Architecture = MODELS.get(name)
    model = Architecture(Architecture.Config(**sizes(name, dropout=0.5)), V, newline=1)
    P = model.initialize(np.random.default_rng(0))
    x = np.random.default_rng(1).integers(0, V, (T, B))
    without = Architecture(Architecture.Config(**sizes(name, dropout=0.0)), V, newline=1)
    plain, expected = (each.forward(P, x, each.start(B))[0] for each in (model, without))
    np.testing.assert_array_equal(plain, expected)
    drawn = [model.forward(P, x, model.start(B), Philox(seed))[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], plain)
