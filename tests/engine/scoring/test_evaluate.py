"""Evaluation on a text."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.gradient.ranks import Ranks
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.score import Tally
from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.text.tokenizer import visible

REFERENCE_MODELS = sorted(naive.MODELS)
TEXT = "the ants sat .\nQ\n\na cat sat on the students .\nred"  # Q is unknown


@pytest.fixture
def model(training):
    """model(name, ...): an untrained model with random parameters."""

    def make(name, **options):
        lm = training(name, layers=2, **options).lm
        lm.P.flat += 0.3 * np.random.default_rng(7).standard_normal(lm.P.flat.size, np.float32)
        return lm

    return make


def reference_scores(lm, text):
    """(ids, -ln P of each) by the definitions, in float64."""
    P = {letter: value.astype(np.float64) for letter, value in lm.P.items()}
    parts = [text]
    if lm.settings.by == "line":
        parts = [line + "\n" for line in text.split("\n") if line.strip()]
    ids = [lm.tokenizer.encode(part).tolist() for part in parts]
    n = getattr(lm.model.config, "context", None)
    nll = [naive.surprisals(lm.settings.model, P, part, lm.tokenizer.newline, n) for part in ids]
    return [i for part in ids for i in part], np.array([n for part in nll for n in part])


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", REFERENCE_MODELS)
def test_scores_match_the_definition(model, name, by):
    lm = model(name, by=by)
    ids, nll = reference_scores(lm, TEXT)
    score = evaluate.score_text(lm, TEXT)
    known = [i != lm.tokenizer.unknown for i in ids]
    assert score.tokens == len(ids)
    assert score.nats == pytest.approx(nll.sum(), rel=1e-6)
    assert score.nats_known == pytest.approx(nll[known].sum(), rel=1e-6)
    assert score.unknowns == len(ids) - sum(known) == 1
    assert score.characters == len(TEXT) == score.bytes
    tokens = list(evaluate.each_token(lm, TEXT))
    np.testing.assert_allclose([token["nats"] for token in tokens], nll, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose([token["p"] for token in tokens], np.exp(-nll), rtol=1e-4)


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", ["rnn", "window"])
def test_scores_do_not_depend_on_the_chunk_size(model, monkeypatch, corpus, name, by):
    lm, text = model(name, by=by), corpus.read_text()
    whole = evaluate.score_text(lm, text)
    for chunk in (1, 7, 100):
        monkeypatch.setattr(evaluate, "CHUNK", chunk)
        monkeypatch.setattr(evaluate, "TOGETHER", chunk)
        score = evaluate.score_text(lm, text)
        assert score.nats == pytest.approx(whole.nats, rel=1e-6)
        assert (score.tokens, score.top1, score.top5) == (whole.tokens, pytest.approx(whole.top1), pytest.approx(whole.top5))


def test_accuracies_agree_with_the_ranks(model):
    lm = model("rnn")
    ranks = [token["rank"] for token in evaluate.each_token(lm, TEXT)]
    score = evaluate.score_text(lm, TEXT)
    assert min(ranks) >= 1 and max(ranks) <= len(lm.tokenizer)
    assert score.top1 == pytest.approx(np.mean([r <= 1 for r in ranks]))
    assert score.top5 == pytest.approx(np.mean([r <= 5 for r in ranks]))


@pytest.mark.parametrize("name", neural_names())
def test_no_token_is_predicted_from_a_state_that_has_seen_it(model, name):
    """Two texts that differ in one token have the same -ln P before it and different ones from there on."""
    lm = model(name)
    a, b = ("the ants sat on the mat", "the ants bat on the mat")
    nats = [np.array([token["nats"] for token in evaluate.each_token(lm, text)]) for text in (a, b)]
    at = a.index("sat")
    np.testing.assert_array_equal(nats[0][:at], nats[1][:at])
    assert nats[0][at] != nats[1][at] and nats[0][at + 1] != nats[1][at + 1]
    y = lm.tokenizer.encode("sb")  # both predictions at this position come from one distribution
    state = lm.model.start(1)
    h, _, _ = lm.model.forward(lm.P, np.array([lm.tokenizer.newline, *lm.tokenizer.encode(a[:at])])[:, None], state)
    U, b2 = lm.model.head(lm.P)
    p = naive.softmax((h[-1, 0] @ U + (b2 if b2.size else 0)).astype(float))
    np.testing.assert_allclose([nats[0][at], nats[1][at]], -np.log(p[y]), rtol=1e-4)


@given(st.floats(0.01, 600), st.integers(1, 1000), st.integers(1, 5000))
def test_units_are_consistent(nats_per_token, tokens, characters):
    nats = nats_per_token * tokens
    report = evaluate.Score(tokens, characters, 2 * characters, 0, nats, nats, 0.5, 0.5).report()
    assert report["perplexity"] == pytest.approx(math.exp(nats / tokens))
    assert 2 ** report["bits_per_token"] == pytest.approx(report["perplexity"])
    assert report["bits_per_token"] * tokens == pytest.approx(report["bits_per_character"] * characters)
    assert report["bits_per_character"] == pytest.approx(2 * report["bits_per_byte"])
    assert report["perplexity_known"] == pytest.approx(report["perplexity"])


def test_limits_of_the_units():
    assert evaluate.perplexity(0) == 1
    assert evaluate.perplexity(1e4) == math.inf
    assert evaluate.Score(2, 3, 3, 2, 1.0, 0.0, 0.0, 0.0).report()["perplexity_known"] is None


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("tokenizer", ["word", "char"])
def test_each_token_has_its_piece_of_the_text(model, tokenizer, by):
    lm = model("rnn", tokenizer=tokenizer, by=by)
    tokens = list(evaluate.each_token(lm, TEXT))
    assert [token["piece"] for token in tokens if token["token"] == "<unk>"] == ["Q"]
    assert all(token["token"] in ("<unk>", visible(token["piece"])) for token in tokens)


def test_a_run_without_held_out_text_cannot_be_scored(training):
    with pytest.raises(InputError, match="the run has no held-out text"):
        evaluate.evaluate(training(valid_fraction=0.0).lm)


def test_bytes_and_characters_are_counted_separately(model):
    score = evaluate.score_text(model("rnn", tokenizer="byte"), "é\n")
    assert (score.tokens, score.characters, score.bytes, score.unknowns) == (3, 2, 3, 0)


def test_name_and_text_of_an_evaluation(run, corpus):
    lm = LanguageModel.load(run)
    held_out = evaluate.evaluate(lm)
    assert corpus.read_text().endswith(held_out.text) and len(held_out.text) == pytest.approx(len(corpus.read_text()) / 10, abs=1)
    assert evaluate.evaluate(lm, text="the").name == "--text"
    assert evaluate.evaluate(lm, (str(corpus),)).text == corpus.read_text()
    assert held_out.score.nats / held_out.score.tokens == pytest.approx(lm.about["valid_loss"], rel=1e-6)
    with pytest.raises(InputError, match="no text to score"):
        evaluate.evaluate(lm, text="")


@pytest.mark.parametrize("size", [2, 3, 5])
def test_ranks_share_out_the_lines(model, monkeypatch, corpus, size):
    """Each scores every so many-th batch of lines, and together they have the score of one."""
    monkeypatch.setattr(evaluate, "TOGETHER", 3)
    lm, text, here = model("lstm", by="line"), corpus.read_text(), Ranks()
    whole, total = list(evaluate.token_scores(lm, text)), evaluate.score_text(lm, text)
    here.size, shares = size, []
    for here.rank in range(size):
        shares.append(list(evaluate.token_scores(lm, text, ranks=here)))
    assert [len(share) for share in shares] == [len(range(rank, len(whole), size)) for rank in range(size)]
    for k, part in enumerate(whole):
        for one, other in zip(part, shares[k % size][k // size], strict=True):
            np.testing.assert_array_equal(one, other)
    tally = Tally(lm.tokenizer)
    sums = [[tally.sums(*part) for part in share] for share in shares]
    here.all_of = lambda items: sums
    assert evaluate.score_text(lm, text, ranks=here) == total
