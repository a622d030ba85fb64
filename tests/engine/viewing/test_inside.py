"""Hidden units, attention and orders of n-grams, beside slow and obvious versions."""

import math

import naive
import numpy as np
import pytest

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring.evaluate import each_token
from nlmcli.engine.viewing import inside
from nlmcli.engine.writing.generate import next_words
from nlmcli.errors import InputError
from nlmcli.models import neural_names

TEXT = "the ants sat .\nthe cat"


@pytest.fixture
def trained(training):
    """A factory of trained models: trained("lstm", by="line")."""

    def make(model, **options):
        run = training(model, **options)
        list(run.run())
        return LanguageModel.load(run.folder)

    return make


def layer_outputs(P, words, step, states):
    """The last layer's h after each word."""
    y = P["E"][words]
    for l, Wh in enumerate(P["Wh"]):
        state, out = [np.zeros((1, len(Wh)))] * states, []
        for x in y:
            state = step(x, state, l)
            out.append(state[0][0])
        y = out
    return np.array(y)


@pytest.mark.parametrize("layers", [1, 2])
def test_hidden_units_of_an_lstm(trained, layers):
    lm = trained("lstm", layers=layers)
    P = {name: value.astype(np.float64) for name, value in lm.P.items()}

    def step(x, state, l):
        return naive.lstm_step([x], *state, naive.input_matrix(P, l), P["Wh"][l], P["b1"][l])

    reading = inside.read(lm, TEXT)
    h = inside.hidden(lm, reading)
    assert h.shape == (len(TEXT), lm.settings.get("hidden")) and reading.pieces == list(TEXT)
    expected = layer_outputs(P, [lm.tokenizer.start, *reading.ids], step, 2)[1:]
    np.testing.assert_allclose(h, expected, atol=1e-6)


@pytest.mark.parametrize("name", neural_names())
def test_hidden_units_are_what_the_output_layer_reads(trained, name):
    lm = trained(name)
    reading = inside.read(lm, TEXT)
    h, state = inside.hidden(lm, reading), lm.start(1)
    for t, i in enumerate([lm.tokenizer.start, *reading.ids]):
        row, state, _ = lm.model.forward(lm.P, np.array([[i]]), state)
        if t:
            np.testing.assert_allclose(h[t - 1], row.reshape(-1), atol=1e-5)


def test_a_model_that_reads_by_line_starts_again(trained):
    lm = trained("rnn", by="line")
    reading = inside.read(lm, TEXT)
    assert "".join(reading.pieces) == TEXT + "\n" and reading.starts.sum() == 2
    h, second = inside.hidden(lm, reading), inside.hidden(lm, inside.read(lm, "the cat"))
    np.testing.assert_array_equal(h[-len(second) :], second)


def naive_attention(P, words, heads):
    """(L,heads,T,T) for a text within one block."""
    x, found = P["E"][words] + P["Ep"][: len(words)], []
    D = x.shape[1]
    d = D // heads
    for l in range(len(P["Wqkv"])):
        qkv = naive.linear(naive.layernorm(x, P["ga"][l], P["ba"][l]), P["Wqkv"][l], P["bqkv"][l])
        share = np.zeros((heads, len(words), len(words)))
        o = np.zeros_like(x)
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            q, k, v = qkv[:, part], qkv[:, D:][:, part], qkv[:, 2 * D :][:, part]
            for t in range(len(words)):
                share[h, t, : t + 1] = naive.softmax([q[t] @ k[j] / math.sqrt(d) for j in range(t + 1)])
                o[t, part] = sum(share[h, t, j] * v[j] for j in range(t + 1))
        x = x + naive.linear(o, P["Wo"][l], P["bo"][l])
        u = naive.linear(naive.layernorm(x, P["gm"][l], P["bm"][l]), P["W1"][l], P["b1"][l])
        x = x + naive.linear(naive.gelu(u), P["W2"][l], P["b2"][l])
        found.append(share)
    return np.array(found)


@pytest.mark.parametrize("length", [1, 7, 31])
def test_attention(trained, length):
    lm = trained("transformer", embed=6, heads=3, layers=2, context=32)
    P = {name: value.astype(np.float64) for name, value in lm.P.items()}
    text = (TEXT * 3)[:length]
    reading = inside.read(lm, text)
    got = inside.attention(lm, reading)
    expected = naive_attention(P, np.array([lm.tokenizer.start, *reading.ids]), 3)
    assert got.shape == (2, 3, length + 1, length + 1)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(got.sum(axis=-1), 1, atol=1e-6)
    with pytest.raises(InputError, match="attends to at most 31 before the next"):
        inside.attention(lm, inside.read(lm, "a" * 32))


@pytest.mark.parametrize("by", ["stream", "line"])
def test_which_order_answered(trained, by, corpus):
    lm = trained("ngram", context=4, by=by, valid_fraction=0.2)
    run_text = "the ants sat on a bear ☃ and the"
    reading = inside.read(lm, run_text)
    train = [list(map(int, ids)) for ids in training_ids(lm)]
    newline = lm.tokenizer.start
    seen = {n: set(naive.ngram_counts(train, newline, n)) for n in range(1, 5)}
    words, expected = [newline, *reading.ids.tolist()], []
    for t in range(1, len(words)):
        grams = [tuple(words[t - n : t + 1]) for n in range(min(3, t) + 1)]
        expected.append(max((n for n, gram in enumerate(grams) if gram in seen[n + 1]), default=-1))
    assert inside.orders(lm, reading).tolist() == expected
    assert len(set(expected)) > 2


def training_ids(lm):
    from nlmcli.engine.reading.dataset import read_dataset

    dataset = read_dataset(lm.settings)
    return list(dataset.train.lines()) if lm.settings.by == "line" else [dataset.train.ids]


def test_units_that_tell_a_property_are_found():
    text = 'He said "no, I will not" and left.\nThen it rained for 40 days, and "yes" was all she said.\n' * 8
    rng = np.random.default_rng(1)
    h = rng.normal(size=(len(text), 6))
    quotes, places = inside.inside_quotes(list(text)), inside.position_in_line(list(text))
    h[:, 2] = 0.3 - 2 * quotes
    h[:, 4] = places / 90 + rng.normal(size=len(text)) * 0.05
    h[:, 5] = 7.0
    first, second, *_, last = inside.telling_units(h, list(text))
    assert (first.unit, first.property, first.share) == (2, "inside quotation marks", pytest.approx(1))
    assert (second.unit, second.property) == (4, "position in the line")
    assert second.share == pytest.approx(np.corrcoef(h[:, 4], places)[0, 1] ** 2)
    assert (last.unit, last.share) == (5, 0.0)
    np.testing.assert_allclose(np.abs(inside.unit(h, 4)).max(), 1)
    with pytest.raises(InputError, match="there is no unit 6; the model has the units 0 to 5"):
        inside.unit(h, 6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("position in the line", [1, 2, 3, 0, 1, 2, 3, 4]),
        ("inside quotation marks", [0, 1, 1, 0, 0, 0, 0, 0]),
        ("the next is a letter", [0, 1, 0, 1, 0, 0, 1, 0]),
        ("the next is a capital", [0, 0, 0, 1, 0, 0, 0, 0]),
        ("the next is a space", [0, 0, 0, 0, 1, 0, 0, 0]),
        ("the next ends the line", [0, 0, 1, 0, 0, 0, 0, 0]),
        ("the next is a digit", [0, 0, 0, 0, 0, 1, 0, 0]),
        ("the next is punctuation", [1, 0, 0, 0, 0, 0, 0, 0]),
        ("length of the word so far", [1, 0, 1, 0, 1, 0, 1, 2]),
    ],
)
def test_properties(name, expected):
    assert inside.PROPERTIES[name](list('a"b\nC 1d')).tolist() == expected


@pytest.mark.parametrize("layers", [1, 2])
def test_step_sizes_of_mamba(trained, layers):
    lm = trained("mamba", layers=layers)
    P = {name: value.astype(np.float64) for name, value in lm.P.items()}
    reading = inside.read(lm, TEXT)
    delta = inside.step_sizes(lm, reading)
    assert delta.shape == (len(TEXT), layers, lm.model.channels())
    _, expected = naive.mamba_layers(P, [lm.tokenizer.start, *reading.ids])
    np.testing.assert_allclose(delta, np.stack(expected)[:, 1:].swapaxes(0, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("name", ["lstm", "transformer", "ngram"])
def test_choices_are_the_next_words(trained, monkeypatch, name, by):
    monkeypatch.setattr(inside, "CHUNK", 4)
    monkeypatch.setattr(inside, "ROWS", 3)
    lm = trained(name, by=by, context=8 if name == "transformer" else 3)
    reading = inside.read(lm, TEXT)
    found, whole = list(inside.choices(lm, reading, 4)), "".join(reading.pieces)
    first = 0
    for t, best in enumerate(found):
        first = t if reading.starts[t] else first
        if name == "transformer" and t - first >= 8:
            continue  # generation keeps more context than a block has
        expected = next_words(lm, whole[first:t], 4)
        assert [token for token, _ in best] == [token for token, _ in expected]
        shares = np.array([p for _, p in best]) / [p for _, p in expected]
        np.testing.assert_allclose(shares, shares[0], rtol=1e-5)  # generation shares out what <unk> has
        assert shares[0] <= 1 + 1e-6
    tokens = list(each_token(lm, TEXT))
    for token, best in zip(tokens, found, strict=True):
        if token["rank"] <= 4:
            assert best[token["rank"] - 1] == (token["token"], pytest.approx(token["p"], rel=1e-5))


def test_models_that_lack_what_was_asked_for(trained):
    reading = inside.read(ngram := trained("ngram"), TEXT)
    with pytest.raises(InputError, match="counts and has no hidden units"):
        inside.hidden(ngram, reading)
    with pytest.raises(InputError, match="has no attention"):
        inside.attention(ngram, reading)
    with pytest.raises(InputError, match="has no step sizes"):
        inside.step_sizes(ngram, reading)
    with pytest.raises(InputError, match="does not count n-grams"):
        inside.orders(trained("rnn"), reading)
    with pytest.raises(InputError, match="the text has no tokens"):
        inside.read(ngram, "")
