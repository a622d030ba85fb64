"""The neural cache against its definition, and the choice of θ and λ."""

import naive
import numpy as np
import pytest

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.neural_cache import Cache
from nlmcli.engine.scoring.evaluate import combined, ensure_encoded, score_text, segments_of, token_scores
from nlmcli.engine.scoring.mixture import Mixture, fitted
from nlmcli.errors import InputError
from nlmcli.models import neural_names

TEXT = "a cat sat . the red ants saw a cat . the cat sat on the red mat . ants saw the mat . a red cat .\n" * 3
REPETITIVE = "".join(f"the {a} saw the {b} .\n" * 4 for a, b in [("ants", "mat"), ("cat", "ants"), ("mat", "cat"), ("red", "red")])


def cached(lm, size, theta, weight):
    return Mixture([lm], [1 - weight, weight], cache=Cache(size, theta))


def scores(lm, text=TEXT):
    return [np.concatenate(arrays) for arrays in zip(*token_scores(lm, text), strict=True)]


def expected(lm, size, theta, weight):
    """nll and rank of every token of TEXT, by the definition."""
    ids = scores(lm)[0].astype(int)
    x = np.concatenate([[lm.tokenizer.newline], ids[:-1]])
    h = lm.model.forward(lm.P, x[:, None], lm.model.start(1))[0][:, 0].astype(float)
    z = lm.model.logits(lm.P, h.astype(np.float32)).astype(float)
    for t, w in enumerate(ids):
        near = slice(max(0, t - size), t)
        p = naive.with_cache(np.exp(z[t]) / np.exp(z[t]).sum(), h[t], h[near], ids[near], theta, weight)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        yield -np.log(p[w]), p


@pytest.mark.parametrize("model", neural_names())
def test_p_and_rank_are_those_of_the_definition(model, training, monkeypatch):
    lm = training(model, embed=6, hidden=6).lm
    lm.P.flat[:] += 0.3 * np.random.default_rng(0).standard_normal(lm.P.flat.size).astype(np.float32)
    monkeypatch.setattr(Cache, "SEGMENT", 7)  # so that the cache reaches across segments
    ids, nll, rank = scores(cached(lm, 15, 0.4, 0.3))
    for k, (expected_nll, p) in enumerate(expected(lm, 15, 0.4, 0.3)):
        assert nll[k] == pytest.approx(expected_nll, rel=2e-4)
        rivals = np.delete(p, [ids[k], *([lm.excluded] if lm.excluded >= 0 else [])])
        assert (rivals > p[ids[k]] * (1 + 1e-4)).sum() <= rank[k] <= (rivals > p[ids[k]] * (1 - 1e-4)).sum()


def test_no_weight_and_an_empty_cache_are_the_model_itself(training):
    lm = training("lstm").lm
    model, unweighted, weighted = (scores(each)[1] for each in (lm, cached(lm, 50, 1.0, 0.0), cached(lm, 50, 1.0, 0.5)))
    np.testing.assert_allclose(unweighted, model, rtol=1e-5)
    assert weighted[0] == pytest.approx(model[0], rel=1e-5) and not np.allclose(weighted, model)


def test_every_line_begins_with_an_empty_cache(training):
    lm = training("rnn", by="line").lm
    once, twice = (scores(cached(lm, 50, 1.0, 0.5), "the ants saw the ants .\n" * n)[1] for n in (1, 2))
    np.testing.assert_allclose(np.tile(once, 2), twice, rtol=1e-6)


def test_theta_and_weight_are_fitted(training):
    lm = training("lstm").lm
    lm.P.flat[:] += 0.5 * np.random.default_rng(0).standard_normal(lm.P.flat.size).astype(np.float32)
    ids = score_text(lm, REPETITIVE)
    best_one = fitted([lm], [], 40, segments_of(cached(lm, 40, 0.0, 0.0), ensure_encoded(lm, REPETITIVE)))
    best = score_text(best_one, REPETITIVE).nats
    t, w = best_one.cache.theta, best_one.weights[1]
    assert best_one.fitted and 0 < w < 1 and best < 0.9 * ids.nats
    for theta, weight in ((t, w * 0.8), (t, (w + 1) / 2), (30.0, w), (t / 2, w), (0.0, 0.1)):
        assert score_text(cached(lm, 40, theta, weight), REPETITIVE).nats >= best * (1 - 1e-6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((0, 1.0, 0.1), "--cache 0 is too small"),
        ((10, -1.0, 0.1), "--cache-theta -1"),
        ((10, 1.0, 1.5), "a weight of 1.5 is out of range"),
        ((10, 1.0, None), "give both --cache-theta and --cache-weight"),
    ],
)
def test_numbers_out_of_range(training, given, sentence):
    with pytest.raises(InputError, match=sentence):
        combined(training("rnn").lm, None, (), *given)


def test_counts_have_no_hidden_state(training):
    run = training("ngram", context=2)
    for _ in run.run():
        pass
    with pytest.raises(InputError, match="model ngram is count-based and has no hidden state to look up"):
        combined(LanguageModel.load(run.folder), cache=10, theta=1.0, weight=0.1)
