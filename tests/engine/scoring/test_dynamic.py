"""Dynamic evaluation."""

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.gradient import team
from nlmcli.engine.reading.batches import Lines, Stream
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.nn.params import Params

TEXT = "the ants sat .\nQ\n\na cat sat on the students .\nred"


@pytest.fixture
def float64_model(training):
    """A model in float64 with random parameters."""

    def make(name="rnn", **options):
        lm = training(name, **{"embed": 2, "hidden": 3, "heads": 1, **options}).lm
        noise = 0.5 * np.random.default_rng(3).standard_normal(lm.P.flat.size)
        return replace(lm, P=Params(lm.P.shapes, lm.P.flat.astype(np.float64) + noise))

    return make


def nats(lm, text):
    return np.array([token["nats"] for token in evaluate.each_token(lm, text)])


def parts_of(lm, text):
    """The ids of each part that is read from the initial state: the text, or its lines."""
    parts = [line + "\n" for line in text.split("\n") if line.strip()] if lm.settings.by == "line" else [text]
    return [lm.tokenizer.encode(part).tolist() for part in parts]


@pytest.mark.parametrize("by", ["stream", "line"])
def test_scores_match_the_definition(float64_model, by):
    lm = float64_model(by=by)

    @given(st.text("thea ns.\nQ", min_size=1, max_size=12), st.floats(0.01, 1), st.integers(1, 8), st.sampled_from([0.0, 0.1, 1.0]))
    @settings(max_examples=8)
    def check(text, lr, segment, clip):
        clipped = replace(lm, settings=replace(lm.settings, clip=clip))
        expected = naive.dynamic_rnn(dict(lm.P.items()), parts_of(lm, text), lm.tokenizer.newline, lr, segment, clip)
        np.testing.assert_allclose(nats(Dynamic(clipped, lr, segment), text), expected, rtol=1e-6)

    check()


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", neural_names())
def test_each_segment_is_scored_before_the_update(float64_model, name, by):
    """Compared with a minimal loop that uses the model's own gradient, which is checked elsewhere."""
    lm, expected = float64_model(name, by=by), []
    P, model = Params(lm.P.shapes, lm.P.flat.copy()), lm.model
    for ids in parts_of(lm, TEXT):
        state = model.start(1, np.float64)
        for start in range(0, len(ids), 5):
            y = np.array(ids[start : start + 5])[:, None]
            x = np.array([ids[start - 1] if start else lm.tokenizer.newline, *ids[start : start + len(y) - 1]])[:, None]
            G = P.zeros_like()
            expected += model.score(P, x, y, state)[0].tolist()
            _, state = model.step(P, x, y.reshape(-1), state, 1 / len(y), G)
            P.flat[:] -= 0.3 * min(1, lm.settings.clip / np.linalg.norm(G.flat)) * G.flat
    np.testing.assert_allclose(nats(Dynamic(lm, 0.3, 5), TEXT), expected, rtol=1e-6)


@pytest.mark.parametrize("by", ["stream", "line"])
def test_the_rule_rms_divides_by_the_root_mean_square_of_training(float64_model, monkeypatch, by):
    lm = float64_model("lstm", by=by)
    s, model = lm.settings, lm.model
    monkeypatch.setattr("nlmcli.engine.scoring.dynamic.BATCHES", 3)
    text = evaluate.held_out_texts(lm).train
    sizes = lm.tokenizer.newline, s.batch_size, s.seq_len, s.seed
    ids = evaluate.encode(lm.tokenizer, text, by)
    batches = Stream(ids.ids, *sizes) if by == "stream" else Lines(ids.lines(), *sizes)
    squares, state = [], ()
    for k in range(3):
        batch, G = batches.batch(k), lm.P.zeros_like()
        state = model.start(batch.x.shape[1], np.float64) if batch.fresh else state
        _, state = model.step(lm.P, batch.x, batch.y.reshape(-1), state, 1 / batch.targets, G)
        squares.append(G.flat**2 * batch.targets / 5)
    r = np.sqrt(np.mean(squares, axis=0))
    P, expected = Params(lm.P.shapes, lm.P.flat.copy()), []
    for ids in parts_of(lm, TEXT):
        state = model.start(1, np.float64)
        for start in range(0, len(ids), 5):
            y = np.array(ids[start : start + 5])[:, None]
            x = np.array([ids[start - 1] if start else lm.tokenizer.newline, *ids[start : start + len(y) - 1]])[:, None]
            G = P.zeros_like()
            expected += model.score(P, x, y, state)[0].tolist()
            _, state = model.step(P, x, y.reshape(-1), state, 1 / len(y), G)
            P.flat[:] -= 0.01 * G.flat / (r + r.mean())
    dynamic = Dynamic(lm, 0.01, 5, train=text)
    assert dynamic.rule == "rms"
    np.testing.assert_allclose(nats(dynamic, TEXT), expected, rtol=1e-6)


@pytest.mark.parametrize("name", neural_names())
def test_no_token_is_predicted_from_parameters_or_a_state_that_have_seen_it(float64_model, name):
    lm = float64_model(name)
    a, b = "the ants sat on the mat", "the ants bat on the mat"
    nats_a, nats_b = (nats(Dynamic(lm, 0.5, 4), text) for text in (a, b))
    at = a.index("sat")
    np.testing.assert_array_equal(nats_a[:at], nats_b[:at])
    assert (nats_a[at:] != nats_b[at:]).all()
    for at in (8, 10, 11):  # first, middle and last of the third segment: the probabilities of all tokens sum to 1
        known = [nats(Dynamic(lm, 0.5, 4), a[:at] + c + a[at + 1 :])[at] for c in lm.tokenizer.vocabulary[1:]]
        unknown = nats(Dynamic(lm, 0.5, 4), a[:at] + "☃" + a[at + 1 :])[at]
        assert np.exp(-np.array([*known, unknown])).sum() == pytest.approx(1, abs=1e-9)


def test_it_learns_repetitions_and_is_reset_before_the_next_text(float64_model):
    lm = float64_model()
    before, text = lm.P.flat.copy(), "the ants sat .\n" * 20
    dynamic = Dynamic(lm, 0.3, 15)
    first, second = (nats(dynamic, text) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    static = nats(lm, text)
    np.testing.assert_allclose(first[:15], static[:15], rtol=1e-9)
    assert first[-15:].sum() < 0.8 * static[-15:].sum()
    assert evaluate.score_text(dynamic, text).nats == pytest.approx(first.sum())
    np.testing.assert_array_equal(lm.P.flat, before)


def test_a_negligible_learning_rate_gives_the_static_scores(float64_model):
    lm = float64_model()
    np.testing.assert_allclose(nats(Dynamic(lm, 1e-300, 7), TEXT), nats(lm, TEXT), rtol=1e-12)


@pytest.mark.parametrize("large", [team.LARGE, 4])
def test_scores_do_not_depend_on_the_number_of_threads(float64_model, monkeypatch, large):
    monkeypatch.setattr(team, "LARGE", large)
    lm = float64_model("lstm")
    scores = [nats(Dynamic(lm, 0.3, 6, threads), TEXT) for threads in (1, 2)]
    np.testing.assert_array_equal(*scores)


def test_invalid_arguments_are_refused(training, float64_model):
    counted = training("ngram")
    list(counted.run())
    with pytest.raises(InputError, match="model ngram is count-based and has no gradients to learn from; --dynamic works with: additive, "):
        Dynamic(counted.lm)
    for lr in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"--dynamic-lr \S+ is (too small; give a number above 0|not a (finite )?number)"):
            Dynamic(float64_model(), lr)
    with pytest.raises(InputError, match="--dynamic-segment 0 is too small; give 1 or more"):
        Dynamic(float64_model(), segment=0)
