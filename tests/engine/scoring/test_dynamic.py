"""Dynamic evaluation."""

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.gradient import team
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.nn.params import Params

TEXT = "the ants sat .\nQ\n\na cat sat on the students .\nred"


@pytest.fixture
def exact(training):
    """A model in float64, its parameters at random."""

    def make(name="rnn", **given_):
        lm = training(name, **{"embed": 2, "hidden": 3, "heads": 1, **given_}).lm
        noise = 0.5 * np.random.default_rng(3).standard_normal(lm.P.flat.size)
        return replace(lm, P=Params(lm.P.shapes, lm.P.flat.astype(np.float64) + noise))

    return make


def nats(lm, text):
    return np.array([token["nats"] for token in evaluate.each_token(lm, text)])


def parts_of(lm, text):
    """The ids of what is read from a fresh state each: the text, or its lines."""
    parts = [line + "\n" for line in text.split("\n") if line.strip()] if lm.settings.by == "line" else [text]
    return [lm.tokenizer.encode(part).tolist() for part in parts]


@pytest.mark.parametrize("by", ["stream", "line"])
def test_it_is_that_of_the_definition(exact, by):
    lm = exact(by=by)

    @given(st.text("thea ns.\nQ", min_size=1, max_size=12), st.floats(0.01, 1), st.integers(1, 8), st.sampled_from([0.0, 0.1, 1.0]))
    @settings(max_examples=8)
    def check(text, lr, segment, clip):
        clipped = replace(lm, settings=replace(lm.settings, clip=clip))
        expected = naive.dynamic_rnn(dict(lm.P.items()), parts_of(lm, text), lm.tokenizer.newline, lr, segment, clip)
        np.testing.assert_allclose(nats(Dynamic(clipped, lr, segment), text), expected, rtol=1e-6)

    check()


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", neural_names())
def test_a_segment_is_scored_and_then_learnt_from(exact, name, by):
    """The same with the model's gradient, which is checked elsewhere, and a loop as short as can be."""
    lm, expected = exact(name, by=by), []
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


@pytest.mark.parametrize("name", neural_names())
def test_no_token_is_predicted_from_parameters_or_a_state_that_saw_it(exact, name):
    lm = exact(name)
    a, b = "the ants sat on the mat", "the ants bat on the mat"
    found = [nats(Dynamic(lm, 0.5, 4), text) for text in (a, b)]
    at = a.index("sat")
    np.testing.assert_array_equal(found[0][:at], found[1][:at])
    assert (found[0][at:] != found[1][at:]).all()
    for at in (8, 10, 11):  # the first, a middle and the last one of the third segment: what may stand there has 1 to share
        each = [nats(Dynamic(lm, 0.5, 4), a[:at] + c + a[at + 1 :])[at] for c in lm.tokenizer.vocabulary[1:]]
        unknown = nats(Dynamic(lm, 0.5, 4), a[:at] + "☃" + a[at + 1 :])[at]
        assert np.exp(-np.array([*each, unknown])).sum() == pytest.approx(1, abs=1e-9)


def test_it_learns_what_repeats_itself_and_forgets_it_before_the_next_text(exact):
    lm = exact()
    before, text = lm.P.flat.copy(), "the ants sat .\n" * 20
    dynamic = Dynamic(lm, 0.3, 15)
    found = [nats(dynamic, text) for _ in range(2)]
    np.testing.assert_array_equal(*found)
    static = nats(lm, text)
    np.testing.assert_allclose(found[0][:15], static[:15], rtol=1e-9)
    assert found[0][-15:].sum() < 0.8 * static[-15:].sum()
    assert evaluate.score_text(dynamic, text).nats == pytest.approx(found[0].sum())
    np.testing.assert_array_equal(lm.P.flat, before)


def test_without_a_rate_to_speak_of_it_is_static(exact):
    lm = exact()
    np.testing.assert_allclose(nats(Dynamic(lm, 1e-300, 7), TEXT), nats(lm, TEXT), rtol=1e-12)


@pytest.mark.parametrize("large", [team.LARGE, 4])
def test_the_threads_do_not_matter(exact, monkeypatch, large):
    monkeypatch.setattr(team, "LARGE", large)
    lm = exact("lstm")
    found = [nats(Dynamic(lm, 0.3, 6, threads), TEXT) for threads in (1, 2)]
    np.testing.assert_array_equal(*found)


def test_what_cannot_learn_is_refused(training, exact):
    counted = training("ngram")
    list(counted.run())
    with pytest.raises(InputError, match="model ngram counts, and has no gradient to learn by; models that have: additive, "):
        Dynamic(counted.lm)
    for lr in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"--dynamic-lr \S+ is out of range; give a number above 0"):
            Dynamic(exact(), lr)
    with pytest.raises(InputError, match="--dynamic-segment 0 is too small; give 1 or more"):
        Dynamic(exact(), segment=0)
