"""Beam search."""

from itertools import product

import numpy as np
import pytest

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.evaluate import score_text
from nlmcli.engine.writing.beam import beam_search
from nlmcli.engine.writing.generate import write
from nlmcli.engine.writing.sampling import Sampling


@pytest.fixture
def lm(run):
    return LanguageModel.load(run)


def greedy(lm, prompt, length, **options):
    return "".join(piece for _, piece in write(lm, prompt, length, sampling=Sampling(greedy=True), **options))


@pytest.mark.parametrize("prompt", ["", "the ", "students"])
def test_a_beam_of_width_1_is_greedy(lm, prompt):
    assert beam_search(lm, prompt, 30, 1).text == greedy(lm, prompt, 30)
    assert beam_search(lm, prompt, 30, 1, stop=("a",)).text == greedy(lm, prompt, 30, stop=("a",))


@pytest.mark.parametrize("tokenizer", ["word", "byte"])
@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", ["lstm", "transformer", "ngram"])
def test_a_beam_of_width_1_is_greedy_for_every_kind_of_model(training, name, by, tokenizer):
    trained = training(name, by=by, tokenizer=tokenizer)
    list(trained.run())
    for penalty in (0.0, 2.0):
        best = beam_search(trained.lm, "the ants", 20, 1, penalty)
        assert best.text + best.decoder.rest() == greedy(trained.lm, "the ants", 20)


def log_probability(lm, text):
    """ln P(text) without <unk>, which is never generated: every distribution is normalized over the other tokens."""
    from nlmcli.engine.writing.generate import Predictor

    logp, prefix = 0.0, ""
    for character in text:
        z = Predictor(lm, prefix).logits[0].astype(float)
        logp += z[lm.tokenizer.index[character]] - np.logaddexp.reduce(z)
        prefix += character
    return logp


def test_a_wide_beam_finds_the_most_probable_text(lm):
    characters = [c for c in lm.tokenizer.vocabulary if len(c) == 1]
    best = max(("".join(letters) for letters in product(characters, repeat=2)), key=lambda text: log_probability(lm, text))
    result = beam_search(lm, "", 2, len(lm.tokenizer))
    assert result.text == best
    assert result.logp == pytest.approx(log_probability(lm, best), rel=1e-5)


def test_the_log_probability_is_correct_and_a_wider_beam_is_no_worse_here(lm):
    narrow, wide = (beam_search(lm, "the ", 12, width) for width in (1, 8))
    assert wide.logp >= narrow.logp
    whole, prompt = (score_text(lm, text).nats for text in ("the " + wide.text, "the "))
    assert -wide.logp == pytest.approx(whole - prompt, rel=0.05)  # the probability of <unk> is negligible


def test_the_text_ends_before_a_stop_string_and_is_longer_with_a_length_penalty(lm):
    short = beam_search(lm, "the ", 30, 4, length_penalty=0.0, stop=(" ",))
    assert " " not in short.text
    long = beam_search(lm, "the ", 30, 4, length_penalty=50.0, stop=(" ",))
    assert long.tokens >= short.tokens


def test_a_model_trained_by_line_stops_at_the_end_of_its_line(training):
    assert "\n" not in beam_search(training("rnn", by="line").lm, "the", 100, 3).text
