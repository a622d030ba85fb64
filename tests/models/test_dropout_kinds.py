"""Dropout of recurrent networks: once for all steps, of whole words, of the recurrent matrix."""

import numpy as np
import pytest

from nlmcli.models import MODELS
from nlmcli.nn.dropout import dropout, word_dropout
from nlmcli.nn.philox import Philox

V, T, B = 7, 6, 4
RECURRENT = ("rnn", "lstm", "gru")


def test_a_variational_mask_is_the_same_at_every_step_and_another_for_every_text():
    dropped, _ = dropout(np.ones((T, B, 50)), 0.5, Philox(1), variational=True)
    assert set(np.unique(dropped)) == {0, 2}
    assert (dropped == dropped[:1]).all()
    assert (dropped[0, 0] != dropped[0, 1]).any()


def test_a_dropped_word_has_no_embedding_wherever_it_occurs():
    x = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    e, _ = word_dropout(np.ones((2, 4, 5)), x, 4, 0.5, Philox(2))
    kept = {word: np.unique(e[x == word]) for word in range(4)}
    assert all(len(values) == 1 and values[0] in (0, 2) for values in kept.values())
    assert len({float(values[0]) for values in kept.values()}) == 2  # some are dropped, some are not


def forward(name, sizes, P=None, rng=None, **options):
    Architecture = MODELS.get(name)
    model = Architecture(Architecture.Config(**sizes(name, layers=1, **options)), V, newline=1)
    P = P or model.initialize(np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).integers(0, V, (T, B))
    return model.forward(P, x, model.start(B, np.float64), rng)[0], P


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("options", [{"dropout_words": 0.5}, {"dropout_recurrent": 0.5}, {"dropout": 0.5, "dropout_kind": "variational"}])
def test_each_kind_is_for_training_only(name, sizes, options):
    plain, P = forward(name, sizes)
    np.testing.assert_array_equal(forward(name, sizes, P, **options)[0], plain)
    once, again, other = (forward(name, sizes, P, Philox(seed), **options)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other) and not np.array_equal(once, plain)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrence_without_its_dropped_entries(name, sizes):
    dropped, P = forward(name, sizes, rng=Philox(3), dropout_recurrent=0.4)
    keep = dropout(np.ones_like(P.Wh[0]), 0.4, Philox(3))[1]
    P.Wh[0] *= keep
    np.testing.assert_allclose(forward(name, sizes, P)[0], dropped, rtol=1e-12)


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("option", ["dropout_words", "dropout_recurrent", "dropout"])
def test_the_bits_of_a_run_with_any_of_them_do_not_depend_on_threads(name, training, option):
    runs = [training(name, threads, steps=4, batch_size=6, dropout_kind="variational", **{option: 0.3}) for threads in (1, 3)]
    for run in runs:
        list(run.run())
    assert runs[0].lm.P.flat.tobytes() == runs[1].lm.P.flat.tobytes()
