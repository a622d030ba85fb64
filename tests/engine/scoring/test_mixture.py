"""Two models as one."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.evaluate import mixture_of, token_scores
from nlmcli.engine.scoring.mixture import Mixture, best_weight
from nlmcli.errors import InputError
from nlmcli.text.tokenizers.bpe import Bpe

TEXT = "the ants sat .\nQ\n\na cat sat on the students .\nred"


@pytest.fixture
def pair(training):
    """Two trained models by name."""

    def make(one="rnn", other="ngram", **given_):
        made = [training(name, **given_) for name in (one, other)]
        for each in made:
            list(each.run())
        return [each.lm for each in made]

    return make


def distributions(lm, ids):
    """p of all words before each of the ids, in float64."""
    x = np.array([lm.tokenizer.newline, *ids[:-1]])[:, None]
    h, _, _ = lm.model.forward(lm.P, x, lm.start(1))
    with np.errstate(divide="ignore"):
        return naive.softmax(lm.model.logits(lm.P, h[:, 0]).astype(float))


def scores(lm, text=TEXT):
    return [np.concatenate(arrays) for arrays in zip(*token_scores(lm, text), strict=True)]


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("names", [("rnn", "ngram"), ("ngram", "window"), ("lstm", "additive"), ("ngram", "ngram")])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_mixture_is_that_of_the_probabilities(pair, names, by, weight):
    pair = pair(*names, by=by)
    ids, nll, rank = scores(Mixture(*pair, weight))
    parts = [line + "\n" for line in TEXT.split("\n") if line.strip()] if by == "line" else [TEXT]
    encoded = [pair[0].tokenizer.encode(part) for part in parts]
    np.testing.assert_array_equal(ids, np.concatenate(encoded))
    p, q = (np.concatenate([distributions(lm, part) for part in encoded]) for lm in pair)
    mixed = (1 - weight) * p + weight * q
    at_target = mixed[np.arange(len(ids)), ids]
    np.testing.assert_allclose(nll, -np.log(at_target), rtol=1e-4, atol=1e-5)
    margin = 1e-5 * at_target[:, None]
    assert ((mixed > at_target[:, None] + margin).sum(1) <= rank).all()
    assert ((mixed > at_target[:, None] - margin).sum(1) - 1 >= rank).all()  # the target itself is within the margin


@pytest.mark.parametrize("name", ["rnn", "ngram"])
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_a_model_mixed_with_itself_is_itself(pair, name, weight):
    lm, _ = pair(name, name)
    for found, expected in zip(scores(Mixture(lm, lm, weight)), scores(lm), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by", ["stream", "line"])
def test_each_keeps_its_own_state_from_chunk_to_chunk(pair, monkeypatch, by):
    mixture = Mixture(*pair(by=by), 0.5)
    whole = scores(mixture)
    monkeypatch.setattr(evaluate, "CHUNK", 3)
    monkeypatch.setattr(evaluate, "TOGETHER", 2)
    monkeypatch.setattr("nlmcli.nn.cross_entropy.BLOCK", 40)
    for found, expected in zip(scores(mixture), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_one_thinks_impossible_the_other_may_not(pair, training):
    one, _ = pair()
    without = training("ngram", add_k=0.0)
    list(without.run())
    assert scores(without.lm)[1].max() == math.inf
    for weight in (0.5, 0.999):
        nll = scores(Mixture(one, without.lm, weight))[1]
        assert np.isfinite(nll).all() and (nll <= scores(one)[1] - math.log(1 - weight) + 1e-5).all()
    alone = scores(Mixture(one, without.lm, 1.0))[1]
    np.testing.assert_allclose(alone, scores(without.lm)[1], rtol=1e-5, atol=1e-6)


NLL = st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), min_size=1, max_size=20)


@given(NLL)
def test_no_weight_is_better_than_the_best(pairs):
    nll = np.array(pairs)

    def loss(w):
        with np.errstate(divide="ignore"):
            return -np.logaddexp(np.log1p(-w) - nll[:, 0], np.log(w) - nll[:, 1]).sum()

    best = best_weight(nll[:, 0], nll[:, 1])
    assert 0 <= best <= 1
    assert loss(best) <= min(map(loss, np.linspace(0, 1, 41))) + 1e-8


def test_the_best_weight_of_what_is_always_or_never_better():
    nll = np.array([1.0, 2.0, 3.0])
    assert best_weight(nll, nll - 0.1) == pytest.approx(1)
    assert best_weight(nll, nll + 0.1) == pytest.approx(0)
    assert best_weight(np.array([0.0, math.inf]), np.array([math.inf, 0.0])) == pytest.approx(0.5)
    assert 0 <= best_weight(np.array([1.0, math.inf]), np.array([2.0, math.inf])) < 1e-9


def test_the_weight_is_found_on_what_the_first_run_held_out(training, pair, tmp_path):
    one, other = pair()
    other.save(tmp_path / "other:1.npz")
    held_out = evaluate.read_texts(one.settings).valid
    found = mixture_of(one, str(tmp_path / "other:1.npz"))
    assert found.fitted and found.weight == best_weight(scores(one, held_out)[1], scores(other, held_out)[1])
    given_ = mixture_of(one, f"{tmp_path / 'other:1.npz'}:0.25")
    assert (given_.fitted, given_.weight, given_.name) == (False, 0.25, str(tmp_path / "other:1.npz"))


def test_only_like_tokens_are_mixed(run, training):
    lm = LanguageModel.load(run)
    for options in ({"tokenizer": "word"}, {"lowercase": True}, {"vocab_size": 9}):
        with pytest.raises(InputError, match=r"do not have the same tokenizer \(char of"):
            Mixture(lm, training("additive", **options).lm, 0.5)
    one, other = (training("additive", tokenizer="bpe").lm for _ in range(2))
    Mixture(one, other, 0.5)
    other.tokenizer = Bpe.from_dict(one.tokenizer.to_dict() | {"merges": one.tokenizer.merges[::-1]})
    with pytest.raises(InputError, match=r"do not have the same tokenizer \(bpe of"):
        Mixture(one, other, 0.5)
    with pytest.raises(InputError, match="one run reads by stream, the other by line"):
        Mixture(lm, training("additive", by="line").lm, 0.5)
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="out of range; give a number from 0 to 1"):
            Mixture(lm, lm, weight)
