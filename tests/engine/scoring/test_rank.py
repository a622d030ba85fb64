"""The rank of a token is its place in the order in which greedy decoding and --probs choose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.engine.reading.texts import of_string
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.mixture import Mixture
from nlmcli.engine.writing.generate import Predictor
from nlmcli.engine.writing.sampling import Sampling
from nlmcli.models import MODELS
from nlmcli.nn.rank import rank_of


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, -np.inf]), min_size=1, max_size=9), st.data())
def test_it_is_the_place_in_a_stable_sort(scores, data):
    target = data.draw(st.integers(0, len(scores) - 1))
    excluded = data.draw(st.integers(-1, len(scores) - 1))
    order = [v for v in np.argsort(-np.array(scores), kind="stable") if v == target or v != excluded]
    assert rank_of(np.array(scores), target, excluded) == order.index(target)


def test_what_is_no_number_comes_last():
    assert rank_of(np.array([0.1, np.nan, 0.3]), 1, -1) == 3
    assert rank_of(np.array([0.1, np.nan, 0.3]), 2, -1) == 0


def chosen(lm, text):
    """The order in which tokens would be chosen after each beginning of a text, and what the text goes on with."""
    ids = lm.tokenizer.encode(text)
    for k, target in enumerate(ids.tolist()):
        logits = Predictor(lm, lm.tokenizer.decode(ids[:k])).logits
        yield (
            np.argsort(-Sampling().probabilities(logits)[0], kind="stable"),
            int(Sampling(greedy=True).probabilities(logits)[0].argmax()),
            target,
        )


@pytest.mark.parametrize("name", MODELS.names())
def test_accuracy_is_how_often_greedy_would_have_been_right(training, name):
    run = training(name, steps=3, tokenizer="char", context=64 if name == "transformer" else 3)  # one block: generation slides
    list(run.run())
    text = "the ants sat on the cat .\n"
    score = evaluate.score_text(run.lm, text)
    found = list(chosen(run.lm, text))
    unknown = run.lm.tokenizer.unknown
    assert score.top1 == pytest.approx(np.mean([greedy == target != unknown for _, greedy, target in found]))
    assert score.top5 == pytest.approx(np.mean([target in order[:5].tolist() and target != unknown for order, _, target in found]))


def test_equals_are_not_all_hits(tmp_path, monkeypatch):
    """Nine types, and after each word of this text all are equally probable."""
    from nlmcli.cli.app import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("a b\nc d\ne f\ng h\n")
    options = "--model ngram --context 3 --add-k 1 --tokenizer whitespace --valid-fraction 0 --out t --quiet"
    assert main(["train", "t.txt", *options.split()]) == 0
    lm = LanguageModel.load(tmp_path / "t")
    text = "h f d b g e c a h f d b g e c a"
    score = evaluate.score_text(lm, text)
    hits = np.mean([greedy == target for _, greedy, target in chosen(lm, text)])
    assert score.top1 == pytest.approx(hits) and hits < 0.2
    mixed = evaluate.score_text(Mixture([lm, lm], [0.5, 0.5]), text)
    assert mixed.top1 == pytest.approx(hits)


def test_no_number_is_no_hit(training):
    lm = training("rnn").lm
    lm.P.flat[:] = np.nan
    with np.errstate(invalid="ignore"):
        score = evaluate.score_text(lm, of_string("the ants sat\n"))
    assert score.top1 == score.top5 == 0


def test_an_unknown_word_is_never_a_hit(training):
    run = training("additive", tokenizer="word", min_count=9, steps=30)
    list(run.run())
    score = evaluate.score_text(run.lm, "zebra zebra zebra zebra")
    assert score.unknowns == 4 and score.top1 == score.top5 == 0
