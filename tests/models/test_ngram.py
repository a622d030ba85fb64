"""The n-gram model against counts in dictionaries."""

import itertools
import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training.train import Compiled, Evaluated, Finished, Started, Stepped
from nlmcli.engine.writing.generate import write
from nlmcli.errors import InputError
from nlmcli.models.ngram import DISCOUNT_FALLBACK, Config, NGram, discounts

V, NEWLINE = 4, 1
TEXTS = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=12), min_size=1, max_size=4)


def counted(texts, order, vocabulary=V, add_k=None, memory=None):
    """A model and its counts."""
    model = NGram(Config(order, add_k, memory), vocabulary, NEWLINE)
    return model, model.count([np.array(ids, np.int32) for ids in texts])


def probabilities_after(model, P, words):
    """p of every word after an end of line and these words."""
    h, _, _ = model.forward(P, np.array([NEWLINE, *words])[:, None], model.start(1))
    return model.probabilities(P, h[-1])[0]


def contexts(texts, longest):
    """The beginnings of the texts, and all short contexts, seen or not."""
    yield from {tuple(ids[:k]) for ids in texts for k in range(len(ids))}
    yield from itertools.chain.from_iterable(itertools.product(range(V), repeat=k) for k in range(1, longest + 1))


@given(TEXTS, st.integers(1, 4))
@settings(max_examples=60)
def test_kneser_ney_is_as_published(texts, order):
    model, P = counted(texts, order)
    for words in contexts(texts, min(order, 3)):
        p = probabilities_after(model, P, words)
        np.testing.assert_allclose(p, naive.kneser_ney(texts, NEWLINE, V, order, [NEWLINE, *words]), rtol=1e-12)
        assert p.sum() == pytest.approx(1, rel=1e-12) and p.min() > 0


@given(
    seed=st.integers(0, 2**32 - 1),
    order=st.integers(1, 5),
    add_k=st.sampled_from([None, 0.5, 1.0, 0.0]),
    excluded=st.sampled_from([-1, 0, 1]),
    memory=st.sampled_from([None, "1M"]),
)
@settings(max_examples=300, deadline=None)
def test_scores_are_those_of_the_whole_distribution(seed, order, add_k, excluded, memory):
    """p and rank, by search or by counting, beside p of all words, sorted: short texts of few types have many equal p."""
    rng = np.random.default_rng(seed)
    vocabulary = int(rng.integers(2, 40))
    texts = [np.minimum(rng.geometric(rng.uniform(0.1, 0.5), int(rng.integers(1, 200))), vocabulary - 1) for _ in range(3)]
    model, P = counted(texts, order, vocabulary, add_k, memory)
    x, targets = np.minimum(rng.geometric(0.2, (2, 40, 3)), vocabulary - 1)
    h = model.forward(P, x, model.start(3))[0].reshape(x.size, order - 1)
    nll, rank = model.score_rows(P, h, targets.reshape(-1), excluded)
    for k, (w, p) in enumerate(zip(targets.reshape(-1), model.probabilities(P, h), strict=True)):
        in_order = [v for v in np.argsort(-p, kind="stable") if v != excluded or v == w]
        assert math.exp(-nll[k]) == pytest.approx(p[w], rel=1e-14) and rank[k] == in_order.index(w)


@pytest.mark.parametrize("seed", range(3))
def test_discounts_are_estimated_from_a_longer_text(seed):
    rng = np.random.default_rng(seed)
    texts = [np.minimum(rng.geometric(0.2, 60), 12).tolist() for _ in range(6)]
    model, P = counted(texts, 3, 13)
    assert sum(not np.allclose(D[1:], DISCOUNT_FALLBACK) for D in P.discount) >= 2
    for words in [(), (2,), (2, 1), (3, 3, 4), (1, 12, 11), tuple(texts[0][:9])]:
        p = probabilities_after(model, P, words)
        np.testing.assert_allclose(p, naive.kneser_ney(texts, NEWLINE, 13, 3, [NEWLINE, *words]), rtol=1e-12)
        assert p.sum() == pytest.approx(1, rel=1e-12)


def test_discounts_by_hand():
    counts = np.repeat([0, 1, 2, 3, 4, 9], [7, 10, 5, 4, 1, 2])
    Y = 10 / (10 + 2 * 5)
    np.testing.assert_allclose(discounts(counts), [0, 1 - 2 * Y * 5 / 10, 2 - 3 * Y * 4 / 5, 3 - 4 * Y * 1 / 4], rtol=1e-14)
    for few in ([], [1, 1], [1, 1, 2, 2], [2, 2, 3, 4], [1] * 3 + [2] * 2 + [3] * 9):  # for the last one, D(2) would be negative
        np.testing.assert_array_equal(discounts(np.array(few, np.int32)), [0, *DISCOUNT_FALLBACK])


@given(TEXTS, st.integers(1, 4), st.sampled_from([0.0, 0.01, 1.0, 3.0]))
@settings(max_examples=60)
def test_additive_smoothing_is_as_defined(texts, order, k):
    model, P = counted(texts, order, add_k=k)
    for words in contexts(texts, min(order, 3)):
        p = probabilities_after(model, P, words)
        np.testing.assert_allclose(p, naive.add_k(texts, NEWLINE, V, order, [NEWLINE, *words], k), rtol=1e-12, atol=1e-15)
        assert p.sum() == pytest.approx(1, rel=1e-12) and (k == 0 or p.min() > 0)


@pytest.mark.parametrize("k", [0.0, 1.0])
def test_a_bigram_model_of_lines_is_the_matrix_of_their_counts(training, tmp_path, k):
    """As in makemore: N + k over the characters and the end of line; <unk>, which never occurs, takes almost no probability."""
    names = ["emma", "olivia", "ava", "isabella", "sophia"] * 40
    (tmp_path / "names.txt").write_text("\n".join(names))
    options = {"corpus": (str(tmp_path / "names.txt"),), "by": "line", "valid_fraction": 0.0, "context": 2, "add_k": k}
    *_, done = training("ngram", **options).run()
    letters = [*sorted(set("".join(names))), "\n"]
    N = np.zeros((len(letters),) * 2)
    for name in names:
        for a, b in itertools.pairwise(f"\n{name}\n"):
            N[letters.index(a), letters.index(b)] += 1
    p = (N + k) / (N + k).sum(1, keepdims=True)
    expected = -(N[N > 0] * np.log(p[N > 0])).sum() / N.sum()
    assert done.train_loss == pytest.approx(expected, rel=1e-12 if k == 0 else 1e-4)


@pytest.mark.parametrize("add_k", [None, 0.5])
def test_scores_agree_with_the_distribution_over_all_words(add_k):
    rng = np.random.default_rng(1)
    model, P = counted([rng.integers(0, V, 50).tolist()], 3, add_k=add_k)
    x, y = rng.integers(0, V, (2, 7, 3))
    y[5:, 1] = -1
    state = model.start(3)
    nll, rank, _ = model.score(P, x, y, state)
    h, _, _ = model.forward(P, x, state)
    p = model.probabilities(P, h[y >= 0])
    at_target = p[np.arange(len(p)), y[y >= 0]]
    np.testing.assert_allclose(nll, -np.log(at_target), rtol=1e-14)
    order = np.argsort(-p, axis=1, kind="stable")  # equals by their ids
    np.testing.assert_array_equal(rank, np.nonzero(order == y[y >= 0][:, None])[1])
    np.testing.assert_allclose(model.logits(P, h[y >= 0]), np.log(p), rtol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("lengths", [(1,) * 9, (4, 2, 3)])
def test_segments_equal_the_whole_sequence_and_columns_are_independent(order, lengths):
    rng = np.random.default_rng(2)
    model, P = counted([rng.integers(0, V, 40).tolist()], order)
    x, y = rng.integers(0, V, (2, 9, 3))
    whole, _, end = model.score(P, x, y, model.start(3))
    state, parts = model.start(3), []
    for segment in np.split(np.arange(9), np.cumsum(lengths)[:-1]):
        nll, _, state = model.score(P, x[segment], y[segment], state)
        parts.append(nll)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(state[0], end[0])
    assert state[0].shape == (order - 1, 3)
    columns = [2, 0, 1]
    permuted, _, _ = model.score(P, x[:, columns], y[:, columns], model.start(3))
    np.testing.assert_array_equal(permuted.reshape(9, 3), whole.reshape(9, 3)[:, columns])


def test_a_saved_model_is_loaded_bit_for_bit(training):
    trained = training("ngram", context=3)
    list(trained.run())
    for name in ("best.npz", "last.npz"):
        loaded = LanguageModel.load(trained.folder / name)
        for letter, array in trained.lm.P.items():
            assert loaded.P[letter].tobytes() == array.tobytes() and loaded.P[letter].dtype == array.dtype
        assert evaluate.score_text(loaded, trained.dataset.texts.valid) == evaluate.score_text(trained.lm, trained.dataset.texts.valid)


def change(name, index, value):
    def damage(arrays):
        arrays[name][index] = value

    return damage


DAMAGES = {
    "a word id out of range": change("word", -1, 10_000),
    "a negative word id": change("word", -1, -1),
    "a negative count": change("count", 3, -1),
    "other unigrams": change("word", 0, 3),
    "children out of range": change("first", -1, 10_000_000),
    "children before their parent": change("first", 5, 0),
    "an order that starts too late": lambda arrays: arrays.update(first=np.repeat(arrays["first"][:1], len(arrays["first"]))),
    "too few contexts": lambda arrays: arrays.update(first=arrays["first"][:5]),
    "too few words": lambda arrays: arrays.update(word=arrays["word"][:-1]),
    "no counts": lambda arrays: arrays.pop("count"),
    "counts that are not integers": lambda arrays: arrays.update(count=arrays["count"].astype(np.float32)),
    "discounts of another order": lambda arrays: arrays.update(discount=arrays["discount"][1:]),
    "no arrays": lambda arrays: arrays.clear(),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_trie_is_rejected(training, tmp_path, kind):
    trained = training("ngram", context=3)
    list(trained.run())
    arrays, about = checkpoint.load(trained.folder / "best.npz")
    about.pop("format")
    DAMAGES[kind](arrays)
    checkpoint.save(tmp_path / "bad.npz", arrays, about)
    with pytest.raises(InputError, match=r"bad\.npz has no counts of the 3-grams of \d+ types; it is not a valid checkpoint of model"):
        LanguageModel.load(tmp_path / "bad.npz")


@pytest.mark.parametrize("context", [2, 4])
def test_an_order_other_than_that_of_the_counts_is_rejected(training, tmp_path, context):
    trained = training("ngram", context=3)
    list(trained.run())
    arrays, about = checkpoint.load(trained.folder / "best.npz")
    about.pop("format")
    about["settings"]["context"] = context
    arrays["discount"] = np.resize(arrays["discount"], (context, 4))
    checkpoint.save(tmp_path / "bad.npz", arrays, about)
    with pytest.raises(InputError, match=f"no counts of the {context}-grams"):
        LanguageModel.load(tmp_path / "bad.npz")


@pytest.mark.parametrize("by", ["stream", "line"])
def test_a_run_counts_in_one_step_and_reports_it(training, by):
    trained = training("ngram", by=by, valid_fraction=0.3)
    records = list(trained.run())
    assert [type(record) for record in records] == [Started, Stepped, Compiled, Evaluated, Finished]
    done = records[-1]
    assert (done.steps, done.interrupted, done.parameters) == (1, False, trained.lm.P.count.size)
    assert math.isnan(done.train_loss) and done.valid_loss == records[-2].valid_loss
    assert sorted(path.name for path in trained.folder.iterdir()) == ["best.npz", "config.yaml", "last.npz", "metrics.csv"]
    assert (trained.folder / "metrics.csv").read_text().splitlines()[1].startswith(f"1,1,,{done.valid_loss:.6g},0,0,")
    score = evaluate.score_text(trained.lm, trained.dataset.texts.valid)
    assert done.valid_loss == score.nats / score.tokens


@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("add_k", [None, 0.1])
def test_the_score_of_a_text_agrees_with_the_definition(training, monkeypatch, by, add_k):
    trained = training("ngram", by=by, context=3, **({} if add_k is None else {"add_k": add_k}))
    list(trained.run())
    tokenizer, text = trained.lm.tokenizer, "the ants sat .\nQ\n\na cat sat\nred"

    def in_parts(text):
        parts = [line + "\n" for line in text.split("\n") if line.strip()] if by == "line" else [text]
        return [tokenizer.encode(part).tolist() for part in parts]

    texts, definition = in_parts(str(trained.dataset.texts.train)), naive.kneser_ney if add_k is None else naive.add_k
    nll = []
    for ids in in_parts(text):
        for t, w in enumerate(ids):
            arguments = (texts, tokenizer.newline, len(tokenizer), 3, [tokenizer.newline, *ids[:t]])
            nll.append(-math.log(definition(*arguments, *([] if add_k is None else [add_k]))[w]))
    for chunk in (2048, 5):
        monkeypatch.setattr(evaluate, "CHUNK", chunk)
        monkeypatch.setattr(evaluate, "TOGETHER", chunk)
        np.testing.assert_allclose([token["nats"] for token in evaluate.each_token(trained.lm, text)], nll, rtol=1e-11)


def test_an_interrupted_run_has_counted_but_is_not_evaluated(training):
    trained = training("ngram")
    for record in trained.run():
        if isinstance(record, Started):
            trained.stop = True
    assert record.interrupted and record.valid_loss is None and math.isnan(record.train_loss)
    assert LanguageModel.load(trained.folder).P.count.tobytes() == trained.lm.P.count.tobytes()


def test_unseen_words_have_probability_zero_without_smoothing(training, tmp_path):
    (tmp_path / "valid.txt").write_text("zebra\n")
    *_, done = training("ngram", valid=str(tmp_path / "valid.txt"), add_k=0.0).run()
    assert done.valid_loss == done.perplexity == math.inf


def test_generation_continues_after_a_word_that_only_unknown_words_followed(training, tmp_path):
    (tmp_path / "rare.txt").write_text("".join(f"ants w{i}\n" for i in range(20)))
    options = {
        "corpus": (str(tmp_path / "rare.txt"),),
        "tokenizer": "word",
        "by": "line",
        "valid_fraction": 0.0,
        "context": 2,
        "add_k": 0.0,
    }
    trained = training("ngram", **options)
    list(trained.run())
    texts = {"".join(piece for _, piece in write(trained.lm, "ants", 2, seed=seed)) for seed in range(20)}
    assert {text.split(" ")[0] for text in texts} <= {"", "ants"} and not any("unk" in text for text in texts)
