"""Text generation."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.neural_cache import Cache, Recall
from nlmcli.engine.scoring.evaluate import token_scores
from nlmcli.engine.scoring.mixture import Mixture
from nlmcli.engine.writing.generate import Decoder, Predictor, generate, next_words, readable, write
from nlmcli.engine.writing.sampling import Sampling
from nlmcli.errors import InputError
from nlmcli.text.tokenizers.bpe import Bpe
from nlmcli.text.tokenizers.byte import Byte
from nlmcli.text.tokenizers.char import Char
from nlmcli.text.tokenizers.word import Word

P = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
ONE_IN_A_MILLION = {1: 23.9, 2: 27.6, 3: 30.7, 4: 33.4}  # chi-squared with this upper tail probability, by degrees of freedom

DISTRIBUTIONS = {  # the distribution sampled from, given P
    "defaults": (Sampling(), P),
    "temperature 2": (Sampling(temperature=2), P**0.5 / (P**0.5).sum()),
    "temperature 0.5": (Sampling(temperature=0.5), P**2 / (P**2).sum()),
    "top-k 2": (Sampling(top_k=2), np.array([0.4, 0.25, 0, 0, 0]) / 0.65),
    "top-k of all": (Sampling(top_k=9), P),
    "top-p 0.6": (Sampling(top_p=0.6), np.array([0.4, 0.25, 0, 0, 0]) / 0.65),
    "top-p 0.66": (Sampling(top_p=0.66), np.array([0.4, 0.25, 0.2, 0, 0]) / 0.85),
    "top-p 1": (Sampling(top_p=1.0), P),
    "a small top-p": (Sampling(top_p=0.01), np.array([1.0, 0, 0, 0, 0])),
    "min-p 0.45": (Sampling(min_p=0.45), np.array([0.4, 0.25, 0.2, 0, 0]) / 0.85),
    "top-k, then top-p of the remaining tokens": (Sampling(top_k=3, top_p=0.45), np.array([0.4, 0.25, 0, 0, 0]) / 0.65),
    "min-p 1": (Sampling(min_p=1.0), np.array([1.0, 0, 0, 0, 0])),
    "temperature 2, then min-p of that distribution": (Sampling(2, min_p=0.6), np.array([0.4, 0.25, 0.2, 0, 0]) ** 0.5),
    "a repetition penalty without seen tokens": (Sampling(repetition_penalty=3.0), P),
    "greedy": (Sampling(greedy=True), np.array([1.0, 0, 0, 0, 0])),
    "temperature 0": (Sampling(temperature=0), np.array([1.0, 0, 0, 0, 0])),
}


@pytest.fixture
def constant(training):
    """A model of five characters that predicts P whatever the context; <unk> would be the most probable token."""
    lm = training("additive", steps=1).lm
    tokenizer = Char.fit("abcd\n", min_count=1)
    model = type(lm.model)(lm.model.config, len(tokenizer), tokenizer.newline)
    theta = model.initialize(np.random.default_rng(0))
    theta.flat[:] = 0
    theta.b2[:] = np.log([0.9, *P])
    return LanguageModel(model, theta, tokenizer, lm.settings, {})


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_distribution_after_each_filter(name):
    sampling, expected = DISTRIBUTIONS[name]
    order, expected = np.array([3, 0, 4, 1, 2]), expected / expected.sum()
    p = sampling.probabilities(np.log([P, P[order]]) + 5)
    np.testing.assert_allclose(p, [expected, expected[order]], atol=1e-12)


def check_samples(samples, expected):
    """Chi-squared test of sampled ids of the five characters against their distribution."""
    counts = np.bincount(samples, minlength=6)
    assert counts[0] == 0  # <unk> is never generated
    counts, expected = counts[1:], expected / expected.sum() * len(samples)
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    chi_squared = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi_squared < ONE_IN_A_MILLION.get(possible.sum() - 1, 1e-9)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_tokens_are_sampled_in_proportion_to_their_probability(constant, name):
    sampling, expected = DISTRIBUTIONS[name]
    length, num = (1, 4000) if sampling.repetition_penalty != 1 else (40, 100)  # with a penalty each token affects the next
    check_samples(np.concatenate(list(generate(constant, length=length, num=num, seed=4, sampling=sampling))), expected)


PENALIZED = [({}, 1), ({"temperature": 2.0}, 1), ({"top_k": 3}, [1, 1, 1, 0, 0]), ({"top_p": 0.5}, [0, 1, 1, 0, 0])]


@pytest.mark.parametrize(("options", "kept"), PENALIZED)
def test_the_repetition_penalty_applies_to_tokens_of_the_prompt(constant, options, kept):
    """The penalty of 2 comes first, then temperature and filters. The logits ln P are negative, so seen tokens have p²."""
    prompt, seen = "a\n", np.array([True, False, False, False, True])
    z = np.log(np.where(seen, P**2, P)) / options.get("temperature", 1)
    sampling = Sampling(repetition_penalty=2.0, **options)
    (samples,) = generate(constant, prompt, 1, 4000, seed=4, sampling=sampling)
    check_samples(samples, np.exp(z) * kept)


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=12), st.integers(1, 12), st.floats(0.05, 1), st.floats(0.05, 1))
@settings(max_examples=60)
def test_filters_keep_the_most_probable_tokens_and_their_order(z, k, top_p, min_p):
    z = np.array([z])
    p = naive.softmax(z)[0]
    for sampling in (Sampling(top_k=k), Sampling(top_p=top_p), Sampling(min_p=min_p), Sampling(0.7, k, top_p, min_p)):
        q = sampling.probabilities(z)[0]
        assert q.sum() == pytest.approx(1)
        assert p[q.argmax()] == pytest.approx(p.max(), rel=1e-12)  # two may be equal up to rounding
        assert min(p[q > 0]) >= max(p[q == 0], default=0) - 1e-12
    assert (Sampling(top_k=k).probabilities(z) > 0).sum() == min(k, len(p))
    assert p[Sampling(top_p=top_p).probabilities(z)[0] > 0].sum() >= top_p - 1e-9


@pytest.mark.parametrize(
    "wrong", [Sampling(-1), Sampling(math.nan), Sampling(top_k=0), Sampling(top_p=0), Sampling(top_p=1.1), Sampling(min_p=-0.1)]
)
def test_a_value_out_of_range_is_refused(wrong):
    with pytest.raises(InputError, match=r"--(temperature|top-k|top-p|min-p) .*(; give|not a number)"):
        wrong.check()


def test_a_seed_generates_the_same_text_again(run):
    lm = LanguageModel.load(run)
    texts = ["".join(piece for _, piece in write(lm, "the", 40, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) == 40


def test_several_texts_differ_and_each_continues_the_prompt(run):
    lm = LanguageModel.load(run)
    texts = ["", "", ""]
    for i, piece in write(lm, "the ", 30, num=3, seed=3):
        texts[i] += piece
    assert [len(text) for text in texts] == [30, 30, 30] and len(set(texts)) == 3
    greedy = ["", ""]
    for i, piece in write(lm, "the ", 10, num=2, sampling=Sampling(greedy=True)):
        greedy[i] += piece
    assert greedy[0] == greedy[1]


@pytest.mark.parametrize("context", [1, 2, 3, 8])
def test_a_full_window_slides_by_half(training, context):
    lm = training("transformer", context=context).lm
    lm.P.flat += 0.2 * np.random.default_rng(7).standard_normal(lm.P.flat.size, np.float32)
    text = "the ants sat on the mat"
    ids = [lm.tokenizer.newline, *lm.tokenizer.encode(text)]
    predictor, start = Predictor(lm, ""), 0
    for end in range(1, len(ids)):
        if end + 1 - start > context:  # no room for another token
            start = end - context // 2
        seen = np.array(ids[start : end + 1])[:, None]
        predictor.read(seen[-1:])
        h, _, _ = lm.model.forward(lm.P, seen, lm.model.start(1))
        U, _ = lm.model.head(lm.P)
        expected = h[-1] @ U
        expected[:, lm.tokenizer.unknown] = -np.inf
        np.testing.assert_allclose(predictor.logits, expected, rtol=1e-4, atol=1e-5)
        assert min(end + 1, context // 2 + 1) <= len(seen) <= context
    np.testing.assert_allclose(Predictor(lm, text).logits, expected, rtol=1e-4, atol=1e-5)


def test_greedy_decoding_takes_the_most_probable_token_each_time(run):
    lm = LanguageModel.load(run)
    text = "the"
    for _ in range(8):
        ((token, _),) = next_words(lm, text, 1)
        text += {"␣": " ", "\\n": "\n"}.get(token, token)
    assert "".join(piece for _, piece in write(lm, "the", 8, sampling=Sampling(greedy=True))) == text[3:]


def test_next_words_matches_the_distribution_of_the_model(run):
    lm = LanguageModel.load(run)
    x = np.array([lm.tokenizer.newline, *lm.tokenizer.encode("the an")])
    h, _, _ = lm.model.forward(lm.P, x[:, None], lm.model.start(1))
    p = naive.softmax((h[-1, 0] @ lm.P.U + lm.P.b2).astype(float))
    p[lm.tokenizer.unknown] = 0
    expected = {lm.tokenizer.piece(i): p[i] / p.sum() for i in range(len(p))}
    words = next_words(lm, "the an", len(p) - 1)
    assert dict(words) == pytest.approx({token: expected[token] for token, _ in words}, rel=1e-4)
    assert [q for _, q in words] == sorted((q for _, q in words), reverse=True)
    assert sum(q for _, q in words) == pytest.approx(1)


def test_a_text_ends_before_its_stop_string(constant):
    whole = "".join(piece for _, piece in write(constant, "", 200, seed=2))
    for stop in ("a", "ba", "bab", "cab"):
        assert stop in whole
        assert "".join(piece for _, piece in write(constant, "", 200, seed=2, stop=(stop,))) == whole[: whole.index(stop)]
    first = min(whole.index("cd"), whole.index("dc"))
    assert "".join(piece for _, piece in write(constant, "", 200, seed=2, stop=("cd", "dc"))) == whole[:first]
    assert "".join(piece for _, piece in write(constant, "", 200, seed=2, stop=("zz",))) == whole


def test_a_model_trained_by_line_stops_at_the_end_of_its_line(training):
    lm = training("rnn", by="line").lm
    texts = [""] * 5
    for i, piece in write(lm, "the", 300, num=5, seed=1):
        texts[i] += piece
    assert all("\n" not in text for text in texts)


def test_an_unknown_character_is_read_as_the_most_similar_one_or_left_out(run):
    lm = LanguageModel.load(run)
    assert readable(lm, "the ants") == ("the ants", [])
    prompt, (note,) = readable(lm, "THÉ ｂook ☃s")
    assert prompt == "the book s"
    assert note == ('never seen in training: "T" read as "t", "H" read as "h", "É" read as "e", "ｂ" read as "b", "☃" left out')


def test_an_unknown_word_is_quoted_escaped_and_shortened(training):
    lm = training("rnn", tokenizer="word").lm
    prompt, (note,) = readable(lm, f"ants \x1b{'Q' * 30}")
    assert prompt == f"ants \x1b{'Q' * 30}"
    assert note == f'never seen in training, read as <unk>: "\\x1b", "{"Q" * 20}…"'
    assert readable(lm, "a b c d e f g h i")[1][0].count('"') == 10 and " more" in readable(lm, "q w e r t y u")[1][0]


def test_bpe_has_no_unknown_text(training):
    lm = training("rnn", tokenizer="bpe").lm
    assert readable(lm, "the Ω☃") == ("the Ω☃", [])
    assert readable(lm, "the \ud800") == ("the \ufffd", [])  # half a character cannot be read
    prompt, (note,) = readable(lm, "the ")
    assert prompt == "the " and "ends with a space" in note


@pytest.mark.parametrize("name", ["rnn", "transformer", "ngram"])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, 9, 0.9, 0.01, repetition_penalty=1.2), Sampling(greedy=True)])
def test_a_text_does_not_depend_on_the_number_of_texts(training, name, sampling):
    trained = training(name)
    list(trained.run())

    def texts(num):
        out = [""] * num
        for i, piece in write(trained.lm, "the ", 30, num=num, seed=3, sampling=sampling):
            out[i] += piece
        return out

    together = texts(5)
    assert [texts(num)[-1] for num in (1, 2, 3, 4, 5)] == together
    assert len(set(together)) == (1 if sampling.greedy else 5)


def test_a_seed_generates_the_same_text_for_any_number_of_threads(training):
    """With a model trained on one thread or on two, and when threads generate at the same time."""
    trained = [training("lstm", threads=threads) for threads in (1, 2)]
    for each in trained:
        list(each.run())

    def text(lm):
        return "".join(piece for _, piece in write(lm, "the ", 60, seed=7))

    expected = text(trained[0].lm)
    assert text(trained[1].lm) == expected
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(text, [each.lm for each in trained] * 4)) == {expected}


def test_a_repetition_penalty_makes_seen_tokens_less_probable(constant):
    z = np.log(P[None]) + 1
    seen = np.array([[True, False, True, False, False]])
    p = Sampling(repetition_penalty=2.0).probabilities(z, seen)
    expected = np.exp(np.where(seen, np.where(z > 0, z / 2, z * 2), z))
    np.testing.assert_allclose(p, expected / expected.sum())
    np.testing.assert_array_equal(Sampling().probabilities(z, seen), Sampling().probabilities(z))
    plain, penalized = (
        np.concatenate(list(generate(constant, length=5, num=400, seed=1, sampling=Sampling(repetition_penalty=r)))).reshape(5, 400)
        for r in (1.0, 1e6)
    )
    assert all(len(set(text)) == 5 for text in penalized.T)  # five types, five tokens: no repetition
    assert any(len(set(text)) < 5 for text in plain.T)


TEXTS = ["", "the ants sat .", "“quoted” don't , well ( a b ) !", "naïve café 日本語 👍🏽 é", "a\nb\n\nc"]


@given(st.one_of(st.sampled_from(TEXTS), st.text(max_size=30)), st.sampled_from([Word, Char, Byte, Bpe]), st.integers(0, 10))
@settings(max_examples=80)
def test_the_streamed_text_equals_the_decoded_text(text, Tokenizer, prompt):
    tokenizer = Tokenizer.fit(text + "\n", min_count=1) if Tokenizer is not Byte else Byte.fit(text)
    ids = tokenizer.encode(text).tolist()
    first = tokenizer.decode(ids[:prompt])
    if tokenizer.encode(first).tolist() != ids[:prompt]:
        first, prompt = "", 0  # a prompt cannot end within a character
    decoder = Decoder(tokenizer, first, ())
    streamed = "".join(decoder.add(i) for i in ids[prompt:]) + decoder.rest()
    assert first + streamed == tokenizer.decode(ids)


def test_an_incomplete_character_is_held_back():
    tokenizer = Byte.fit("é")
    decoder = Decoder(tokenizer, "", ())
    assert [decoder.add(i) for i in tokenizer.encode("aé!")] == ["a", "", "é", "!"]


def test_generation_with_an_adaptive_softmax(training):
    """One text does not depend on the others; greedy decoding and filters choose among all words."""
    run = training("lstm", softmax="adaptive", cutoffs="5,12", steps=60)
    list(run.run())
    one, three = (list(generate(run.lm, "the", 30, num, seed=4)) for num in (1, 3))
    assert [ids[0] for ids in one] == [ids[0] for ids in three]
    assert len({int(i) for ids in three for i in ids}) > 12
    predictor = Predictor(run.lm, "the")
    p = np.exp(predictor.logits[0])
    assert p.sum() + np.exp(predictor.unknown_logits[0]) == pytest.approx(1, abs=1e-5)
    (best,) = next(iter(generate(run.lm, "the", 1, sampling=Sampling(greedy=True))))
    assert best == p.argmax()
    first = [int(next(iter(generate(run.lm, "the", 1, seed=seed)))[0]) for seed in range(300)]
    assert np.bincount(first, minlength=len(p)).argmax() == best


@pytest.mark.parametrize("name", ["lstm", "transformer", "window"])
def test_generation_consults_the_cache_as_evaluation_does(training, name):
    """P of the next token after each prefix, with the window of a Transformer sliding or not."""
    run = training(name, steps=30, context=16)
    list(run.run())
    cache, text = Cache(9, 0.5), "the ants sat"
    plain = Mixture([run.lm], [0.7, 0.3], cache=cache)
    ids, nll, _ = (np.concatenate(part) for part in zip(*token_scores(plain, text), strict=True))
    recalling = replace(run.lm, recall=Recall(cache, 0.3))
    for k, i in enumerate(ids):
        z = Predictor(recalling, text[:k]).logits[0].astype(float)
        unknown = Predictor(recalling, text[:k])
        total = np.logaddexp(np.logaddexp.reduce(z), float((unknown.logits, unknown.unknown_logits)[1][0]))
        assert total - z[i] == pytest.approx(nll[k], rel=1e-4, abs=1e-5)
    stepwise = Predictor(recalling, text[:3])
    for i in ids[3:]:
        stepwise.read(np.array([[i]]))
    np.testing.assert_allclose(stepwise.logits, Predictor(recalling, text).logits, rtol=1e-4, atol=1e-5)
    several = Predictor(recalling, text, 3)
    several.reorder(np.array([2, 0, 0]))
    np.testing.assert_allclose(several.logits, np.repeat(stepwise.logits, 3, axis=0), rtol=1e-3, atol=1e-4)
