"""The gradient of a large table of embeddings, of which a batch reads few rows, is that of its shards, step after step."""

import numpy as np
import pytest

from nlmcli.engine.gradient.team import Team, shards_of
from nlmcli.engine.reading.batches import Batch
from nlmcli.heads import HEADS
from nlmcli.heads.base.encoder import Encoder, Forms, pair_rows
from nlmcli.models import MODELS
from nlmcli.nn.philox import Philox

V, NEW, BUCKETS = 300, 40, 50  # words, words outside the vocabulary, rows of the table of forms


def forms():
    """Two features a word; words outside the vocabulary are <unk>, 0, and so is every other word about half of the time."""
    rng = np.random.default_rng(0)
    word = np.concatenate([np.arange(V), np.zeros(NEW, int)])
    hidden = np.concatenate([np.full(V, 0.5), np.ones(NEW)])
    return Forms(word, 2 * np.arange(V + NEW + 1), rng.integers(0, BUCKETS, 2 * (V + NEW)), 0, hidden)


def head_of(task, subwords, bigrams):
    model = MODELS.get("gru")(MODELS.get("gru").Config(embed=4, hidden=5, dropout=0.2), 1, newline=0)
    encoder = Encoder(model, V, 1, True, BUCKETS if subwords else 0, forms() if subwords else None, 500 if bigrams else 0)
    return HEADS.get(task)(HEADS.get(task).Config(bidirectional=True, subwords=subwords, bigrams=bigrams), encoder, 3, p=0.2)


def batch_of(head, lengths, rng):
    x = np.where(np.arange(max(lengths))[:, None] < lengths, rng.integers(2, V + NEW * bool(head.encoder.buckets), (9, len(lengths))), -1)
    x[0] = 1
    return Batch(x, head.example_answers(rng, x), fresh=True)


def expected(head, P, batch, key):
    """The sum of the gradients of the shards."""
    G = P.zeros_like()
    for s, part in enumerate(shards_of(batch.x.shape[1], head.shard_columns)):
        x, y = (np.ascontiguousarray(a[:, part]) for a in (batch.x, batch.y))
        head.step(P, x, y.reshape(-1), (), 1 / batch.targets, G, Philox(*key, s))
    return G.flat


@pytest.mark.parametrize(("subwords", "bigrams"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("task", ["classify", "tag"])
def test_only_the_rows_that_a_batch_reads_have_a_gradient(task, subwords, bigrams):
    head, rng = head_of(task, subwords, bigrams), np.random.default_rng(1)
    P = head.initialize(rng, np.float64)
    G, team = P.zeros_like(), Team(head, 2)
    for step, texts in enumerate((6, 5, 60, 6, 4)):  # 60 texts have more words than the table of words has rows
        batch = batch_of(head, [*rng.integers(2, 10, texts - 1).tolist(), 9], rng)
        _, norm, _ = team.gradient(P, G, batch, team.start(texts), (1, step))
        sum_of_shards = expected(head, P, batch, (1, step))
        np.testing.assert_allclose(G.flat, sum_of_shards, rtol=1e-8, atol=1e-12)
        assert norm == pytest.approx(np.linalg.norm(sum_of_shards))
        assert np.count_nonzero(head.table(G).any(axis=1)) < len(head.table(G))


def test_a_position_reads_its_word_its_form_and_the_pair_with_the_word_before():
    head, rng = head_of("classify", True, True), np.random.default_rng(1)
    encoder, known = head.encoder, head.encoder.forms
    P = head.initialize(rng, np.float64)
    x = batch_of(head, [9, 4, 7], rng).x
    words, before, index = encoder.distinct(x)
    e, _ = encoder.embed(P, words, before, None)
    for t, b in zip(*np.nonzero(x >= 0), strict=True):
        last = -1 if t <= 1 else known.word[x[t - 1, b]]  # the end of line that begins a text is no word
        features = known.grams[known.starts[x[t, b]] : known.starts[x[t, b] + 1]]
        pair = BUCKETS + pair_rows(np.array([last]), np.array([known.word[x[t, b]]]), 500)
        expected = P.E[known.word[x[t, b]]] + P.S[features].sum(0) + P.S[pair[0]]
        np.testing.assert_allclose(e[index[t, b]], expected, rtol=1e-12)


def test_pairs_spread_over_the_rows_and_depend_on_the_order():
    before, word = np.divmod(np.arange(10_000), 100)
    rows = pair_rows(before, word, 1 << 17)
    assert len(np.unique(rows)) > 9_000 and rows.min() >= 0 and rows.max() < 1 << 17
    assert (pair_rows(word, before, 1 << 17) == rows).sum() < 200
