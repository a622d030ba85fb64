"""Every figure of a score, compared with its definition in float64."""

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.evaluate import score_text
from nlmcli.errors import InputError
from nlmcli.models import MODELS
from nlmcli.nn.params import Params
from nlmcli.text.tokenizers import TOKENIZERS

TEXTS = st.lists(st.sampled_from(["the ", "ants ", "Zebra ", "sat", "é", " ", "\n", "\n\n", ". "]), min_size=1, max_size=8).map("".join)


@pytest.fixture
def float64_rnn(training):
    """An RNN in float64 with random parameters."""

    def make(**options):
        lm = training("rnn", **options).lm
        noise = 0.5 * np.random.default_rng(3).standard_normal(lm.P.flat.size)
        return replace(lm, P=Params(lm.P.shapes, lm.P.flat.astype(np.float64) + noise))

    return make


def reference_figures(lm, text, eos):
    """The figures by their definitions; None if there are no tokens to score."""
    parts = [line + "\n" for line in text.split("\n") if line.strip()] if lm.settings.by == "line" else [text]
    ids, nll, ranks, P = [], [], [], dict(lm.P.items())
    for part in parts:
        words = lm.tokenizer.encode(part).tolist()
        for t, word in enumerate(words):
            z = naive.rnn(P, [lm.tokenizer.newline, *words[:t]], None)
            ids, nll, ranks = [*ids, word], [*nll, naive.surprisal(z, word)], [*ranks, naive.rank(z, word, lm.tokenizer.unknown)]
    line_ends = {i for i, piece in enumerate(lm.tokenizer.vocabulary) if piece.strip("\n") == ""} | {lm.tokenizer.newline}
    if not any(eos or i not in line_ends for i in ids):
        return None
    return naive.figures("".join(parts), ids, nll, ranks, lm.tokenizer.unknown, line_ends, eos)


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("tokenizer", TOKENIZERS.names())
def test_every_figure_matches_its_definition(float64_rnn, tokenizer, by):
    lm = float64_rnn(tokenizer=tokenizer, by=by)

    @given(TEXTS, st.booleans())
    @settings(max_examples=12)
    def check(text, eos):
        expected = reference_figures(lm, text, eos)
        if expected is None:
            with pytest.raises(InputError, match=r"the text has no tokens .*to score; give another"):
                score_text(lm, text, eos)
        else:
            report = score_text(lm, text, eos).report()
            none = {name for name, value in expected.items() if value is None}  # all tokens are <unk>
            assert {name for name, value in report.items() if value is None} == none
            assert {k: report[k] for k in report.keys() - none} == pytest.approx({k: expected[k] for k in expected.keys() - none}, rel=1e-9)

    check()


def test_without_eos_line_ends_are_read_but_not_counted(float64_rnn):
    lm = float64_rnn(tokenizer="char")
    with_, without = (score_text(lm, "the ants\nsat\n", eos) for eos in (True, False))
    assert (with_.tokens, with_.characters, with_.bytes, with_.line_ends) == (13, 13, 13, 2)
    assert (without.tokens, without.characters, without.bytes, without.line_ends) == (11, 11, 11, 2)
    nats = [token["nats"] for token in evaluate.each_token(lm, "the ants\nsat\n") if token["token"] != "\\n"]
    assert without.nats == pytest.approx(sum(nats)) and without.nats < with_.nats
    assert without.nats != pytest.approx(score_text(lm, "the antssat", False).nats)  # later tokens are conditioned on them


def test_a_token_with_other_characters_is_counted_with_its_line_breaks(float64_rnn, tmp_path):
    (tmp_path / "indented.txt").write_text("a \n  b\n\n\n" * 40)
    lm = float64_rnn(corpus=(str(tmp_path / "indented.txt"),), tokenizer="bpe")
    assert lm.tokenizer.pieces("a \n  b\n\n\nb\n") == ["a", " \n ", " b", "\n\n", "\n", "b", "\n"]
    score = score_text(lm, "a \n  b\n\n\nb\n", eos=False)
    assert (score.tokens, score.line_ends, score.characters, score.bytes) == (4, 3, 7, 7)


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", MODELS.names())
def test_bits_per_byte_do_not_depend_on_chunk_and_batch_sizes(training, monkeypatch, corpus, name, by):
    trained = training(name, by=by)
    list(trained.run())
    text = corpus.read_text() + "naïve ants .\n"
    whole = score_text(trained.lm, text).report()
    for chunk, together, block in ((1, 1, 1 << 22), (7, 3, 100), (100, 64, 1)):
        monkeypatch.setattr(evaluate, "CHUNK", chunk)
        monkeypatch.setattr(evaluate, "TOGETHER", together)
        monkeypatch.setattr("nlmcli.nn.cross_entropy.BLOCK", block)
        report = score_text(trained.lm, text).report()
        assert report["bits_per_byte"] == pytest.approx(whole["bits_per_byte"], rel=1e-6)
        assert report["tokens"] == whole["tokens"]


def test_bits_per_byte_do_not_depend_on_the_threads_of_training(training, corpus):
    runs = [training("rnn", threads=threads) for threads in (1, 2)]
    for run in runs:
        list(run.run())
    assert len({score_text(run.lm, corpus.read_text()) for run in runs}) == 1


def test_a_text_is_read_once_for_several_models(run, corpus, monkeypatch):
    lm, calls = LanguageModel.load(run), []
    monkeypatch.setattr(evaluate, "read_corpus", lambda *arguments: calls.append(arguments) or evaluate.of_string(corpus.read_text()))
    evaluations = list(evaluate.evaluate_all([lm, lm], ("-",)))
    assert len(calls) == 1 and evaluations[0].score == evaluations[1].score == score_text(lm, corpus.read_text())
