"""Mixtures of models."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.neural_cache import Cache
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.engine.scoring.evaluate import combined, token_scores
from nlmcli.engine.scoring.mixture import Mixture, best_weights
from nlmcli.errors import InputError
from nlmcli.text.tokenizers.bpe import Bpe

TEXT = "the ants sat .\nQ\n\na cat sat on the students .\nred"


@pytest.fixture
def pair(training):
    """pair(first, second, ...): two trained models by name."""

    def make(first="rnn", second="ngram", **options):
        runs = [training(name, **options) for name in (first, second)]
        for run in runs:
            list(run.run())
        return [run.lm for run in runs]

    return make


def distributions(lm, ids):
    """The distribution from which each of the ids is predicted, in float64."""
    x = np.array([lm.tokenizer.newline, *ids[:-1]])[:, None]
    h, _, _ = lm.model.forward(lm.P, x, lm.start(1))
    with np.errstate(divide="ignore"):
        return naive.softmax(lm.model.logits(lm.P, h[:, 0]).astype(float))


def scores(lm, text=TEXT):
    return [np.concatenate(arrays) for arrays in zip(*token_scores(lm, text), strict=True)]


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("names", [("rnn", "ngram"), ("ngram", "window"), ("lstm", "additive"), ("ngram", "ngram")])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_probabilities_are_interpolated(pair, names, by, weight):
    pair = pair(*names, by=by)
    ids, nll, rank = scores(Mixture(pair, [1 - weight, weight]))
    parts = [line + "\n" for line in TEXT.split("\n") if line.strip()] if by == "line" else [TEXT]
    encoded = [pair[0].tokenizer.encode(part) for part in parts]
    np.testing.assert_array_equal(ids, np.concatenate(encoded))
    p, q = (np.concatenate([distributions(lm, part) for part in encoded]) for lm in pair)
    mixed = (1 - weight) * p + weight * q
    p_target = mixed[np.arange(len(ids)), ids]
    np.testing.assert_allclose(nll, -np.log(p_target), rtol=1e-4, atol=1e-5)
    margin = 1e-5 * p_target[:, None]
    others = np.arange(mixed.shape[1])[None] != ids[:, None]
    mixed[others & (np.arange(mixed.shape[1]) == pair[0].tokenizer.unknown)] = -1  # <unk> has no rank unless it is the target
    assert ((mixed > p_target[:, None] + margin).sum(1) <= rank).all()
    assert ((mixed > p_target[:, None] - margin).sum(1) - 1 >= rank).all()  # the target itself is within the margin


@pytest.mark.parametrize("name", ["rnn", "ngram"])
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_a_model_mixed_with_itself_has_the_same_scores(pair, name, weight):
    lm, _ = pair(name, name)
    for actual, expected in zip(scores(Mixture([lm, lm], [1 - weight, weight])), scores(lm), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by", ["stream", "line"])
def test_both_states_are_carried_from_chunk_to_chunk(pair, monkeypatch, by):
    mixture = Mixture(pair(by=by), [0.5, 0.5])
    whole = scores(mixture)
    monkeypatch.setattr("nlmcli.engine.scoring.mixture.CHUNK", 3)
    monkeypatch.setattr(evaluate, "CHUNK", 3)
    monkeypatch.setattr(evaluate, "TOGETHER", 2)
    monkeypatch.setattr("nlmcli.nn.cross_entropy.BLOCK", 40)
    for actual, expected in zip(scores(mixture), whole, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_tokens_that_are_impossible_under_one_model_have_finite_scores(pair, training):
    rnn, _ = pair()
    unsmoothed = training("ngram", add_k=0.0)
    list(unsmoothed.run())
    assert scores(unsmoothed.lm)[1].max() == math.inf
    for weight in (0.5, 0.999):
        nll = scores(Mixture([rnn, unsmoothed.lm], [1 - weight, weight]))[1]
        assert np.isfinite(nll).all() and (nll <= scores(rnn)[1] - math.log(1 - weight) + 1e-5).all()
    nll = scores(Mixture([rnn, unsmoothed.lm], [0.0, 1.0]))[1]
    np.testing.assert_allclose(nll, scores(unsmoothed.lm)[1], rtol=1e-5, atol=1e-6)


@given(st.integers(2, 4).flatmap(lambda k: st.lists(st.tuples(*[st.floats(0, 30)] * k), min_size=1, max_size=20)))
def test_best_weights_minimize_the_loss(rows):
    nll = np.array(rows).T

    def loss(w):
        with np.errstate(divide="ignore"):
            return -np.logaddexp.reduce(np.log(w)[:, None] - nll, axis=0).mean()

    lowest, best = best_weights(-nll)
    assert best.min() >= 0 and best.sum() == pytest.approx(1)
    assert lowest == pytest.approx(loss(best))
    others = np.random.default_rng(0).dirichlet(np.full(len(nll), 0.5), 40)
    assert lowest <= min(map(loss, [*others, *np.eye(len(nll))])) + 1e-4  # expectation maximization ends when it hardly gains any more


def test_best_weights_if_one_model_is_always_better():
    nll = np.array([1.0, 2.0, 3.0])
    better = np.array([nll, nll - 0.1])
    assert best_weights(-better)[1] == pytest.approx([0, 1])
    assert best_weights(-better[::-1])[1] == pytest.approx([1, 0])
    three = np.array([nll, nll - 0.5, nll + 0.1])
    assert best_weights(-three)[1] == pytest.approx([0, 1, 0], abs=1e-4)
    never = math.inf
    assert best_weights(-np.array([[0.0, never], [never, 0.0]]))[1] == pytest.approx([0.5, 0.5])
    assert best_weights(-np.array([[1.0, never], [2.0, never]]))[1] == pytest.approx([1, 0])
    assert best_weights(-np.array([[never], [never]]))[1] == pytest.approx([0.5, 0.5])


def test_the_weights_are_fitted_on_the_held_out_text_of_the_first_run(training, pair, tmp_path):
    first, second = pair()
    second.save(tmp_path / "other:1.npz")
    held_out = evaluate.read_texts(first.settings).valid
    fitted = combined(first, mix=[str(tmp_path / "other:1.npz")])
    expected = best_weights(-np.array([scores(first, held_out)[1], scores(second, held_out)[1]], float))[1]
    assert fitted.fitted and fitted.weights == pytest.approx(expected.tolist())
    fixed = combined(first, mix=[f"{tmp_path / 'other:1.npz'}:0.25"])
    assert (fixed.fitted, fixed.weights, fixed.names) == (False, [0.75, 0.25], [str(tmp_path / "other:1.npz")])


@pytest.mark.parametrize("weights", [(0.5, 0.2, 0.3), (0.0, 0.4, 0.6), (0.3, 0.7, 0.0)])
def test_a_model_that_learns_another_one_and_a_cache(pair, weights):
    """The probabilities of each member alone, weighted; the first word is without a cache."""
    first, second = pair("lstm", "ngram")
    together = Mixture([Dynamic(first, 0.1, 3), second], weights, ["other"], Cache(10, 0.4))
    _, nll, _ = scores(together)
    p1, p2 = (np.exp(-scores(each)[1].astype(float)) for each in (Dynamic(first, 0.1, 3), second))
    alone = Mixture([Dynamic(first, 0.1, 3)], [0.0, 1.0], cache=Cache(10, 0.4))
    with np.errstate(divide="ignore"):
        cache = np.exp(-scores(alone)[1])
    expected = weights[0] * p1 + weights[1] * p2 + weights[2] * cache
    rest = weights[0] + weights[1]
    expected[0] = weights[0] / rest * p1[0] + weights[1] / rest * p2[0]
    np.testing.assert_allclose(nll, -np.log(expected), rtol=1e-4, atol=1e-5)
    again = scores(together)
    np.testing.assert_array_equal(again[1], nll)  # it starts from the trained parameters each time


def test_probabilities_of_a_mixture_sum_to_one(pair):
    first, second = pair("lstm", "ngram")
    mixture = Mixture([first, second], [0.5, 0.2, 0.3], ["other"], Cache(10, 0.4))
    x = first.tokenizer.encode(TEXT)[:, None].astype(np.int64)
    reading = mixture.read(x, x, mixture.start(1))
    weights = np.repeat([[0.5], [0.2], [0.3]], len(x), axis=1)
    p = mixture.mixed(reading, slice(0, len(x)), weights, np.empty((3, len(x))))
    np.testing.assert_allclose(p[1:].sum(1), 1, atol=1e-6)


def test_incompatible_models_are_refused(run, training):
    lm = LanguageModel.load(run)
    for options in ({"tokenizer": "word"}, {"lowercase": True}, {"vocab_size": 9}):
        with pytest.raises(InputError, match=r"do not have the same tokenizer \(char of"):
            Mixture([lm, training("additive", **options).lm], [0.5, 0.5])
    first, second = (training("additive", tokenizer="bpe").lm for _ in range(2))
    Mixture([first, second], [0.5, 0.5])
    second.tokenizer = Bpe.from_dict(first.tokenizer.to_dict() | {"merges": first.tokenizer.merges[::-1]})
    with pytest.raises(InputError, match=r"do not have the same tokenizer \(bpe of"):
        Mixture([first, second], [0.5, 0.5])
    with pytest.raises(InputError, match="one run reads by stream, the other by line"):
        Mixture([lm, training("additive", by="line").lm], [0.5, 0.5])
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="out of range; give a number from 0 to 1"):
            Mixture([lm, lm], [1 - weight, weight])
