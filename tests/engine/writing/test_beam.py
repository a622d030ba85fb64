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


def greedy(lm, prompt, length, **more):
    return "".join(piece for _, piece in write(lm, prompt, length, sampling=Sampling(greedy=True), **more))


@pytest.mark.parametrize("prompt", ["", "the ", "students"])
def test_a_beam_of_one_is_greedy(lm, prompt):
    assert beam_search(lm, prompt, 30, 1).text == greedy(lm, prompt, 30)
    assert beam_search(lm, prompt, 30, 1, stop=("a",)).text == greedy(lm, prompt, 30, stop=("a",))


@pytest.mark.parametrize("tokenizer", ["word", "byte"])
@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", ["lstm", "transformer", "ngram"])
def test_so_it_is_of_every_kind_of_model(training, name, by, tokenizer):
    trained = training(name, by=by, tokenizer=tokenizer)
    list(trained.run())
    for penalty in (0.0, 2.0):
        found = beam_search(trained.lm, "the ants", 20, 1, penalty)
        assert found.text + found.decoder.rest() == greedy(trained.lm, "the ants", 20)


def log_probability(lm, text):
    """ln P(text), without <unk>, which is never written: every distribution is divided by what is left."""
    from nlmcli.engine.writing.generate import Reader

    logp, read = 0.0, ""
    for character in text:
        z = Reader(lm, read).logits[0].astype(float)
        logp += z[lm.tokenizer.index[character]] - np.logaddexp.reduce(z)
        read += character
    return logp


def test_a_wide_beam_finds_the_most_probable_text(lm):
    characters = [c for c in lm.tokenizer.vocabulary if len(c) == 1]
    best = max(("".join(letters) for letters in product(characters, repeat=2)), key=lambda text: log_probability(lm, text))
    found = beam_search(lm, "", 2, len(lm.tokenizer))
    assert found.text == best
    assert found.logp == pytest.approx(log_probability(lm, best), rel=1e-5)


def test_what_it_finds_is_as_probable_as_it_says_and_a_wider_beam_loses_nothing_here(lm):
    narrow, wide = (beam_search(lm, "the ", 12, width) for width in (1, 8))
    assert wide.logp >= narrow.logp
    whole, prompt = (score_text(lm, text).nats for text in ("the " + wide.text, "the "))
    assert -wide.logp == pytest.approx(whole - prompt, rel=0.05)  # <unk> has next to no probability


def test_it_ends_before_a_stop_string_and_prefers_longer_texts_with_a_penalty(lm):
    short = beam_search(lm, "the ", 30, 4, length_penalty=0.0, stop=(" ",))
    assert " " not in short.text
    long = beam_search(lm, "the ", 30, 4, length_penalty=50.0, stop=(" ",))
    assert long.tokens >= short.tokens


def test_a_model_of_lines_ends_with_its_line(training):
    assert "\n" not in beam_search(training("rnn", by="line").lm, "the", 100, 3).text
