"""The receptive field of the CNN. What every model must do is tested in test_contract.py."""

import numpy as np
import pytest

from nlmcli.cli.app import main
from nlmcli.engine.checking.gradcheck import SMALL, check_small
from nlmcli.models.cnn import CNN, Config

V, CONTEXTS = 5, [2, 3, 4, 6, 8, 16, 21]


@pytest.mark.parametrize(
    ("context", "expected"), [(2, [1]), (3, [1, 1]), (4, [1, 2]), (8, [1, 2, 4]), (9, [1, 2, 4, 1]), (16, [1, 2, 4, 8])]
)
def test_dilations_double_up_to_the_context(context, expected):
    assert Config(context=context).dilations().tolist() == expected


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_receptive_field_is_the_context(context):
    model = CNN(Config(embed=4, hidden=5, context=context), V, newline=0)
    rng = np.random.default_rng(context)
    P = model.initialize(rng, np.float64)
    x = rng.integers(0, V, (2 * context + 3, 1))
    h, _, _ = model.forward(P, x, model.start(1, np.float64))
    for t in (0, 3, context):
        changed_x = x.copy()
        changed_x[t] = (x[t] + 1) % V
        changed, _, _ = model.forward(P, changed_x, model.start(1, np.float64))
        differs = (changed != h).any((1, 2))
        assert differs[t : t + context].all()
        assert not differs[:t].any() and not differs[t + context :].any()


@pytest.mark.parametrize("context", [2, 8])
def test_gradients_of_one_layer_and_of_three(context):
    for row in check_small("cnn", {**SMALL, "context": context, "dropout": 0.3}, "float64", None):
        assert row.passed, row


def test_a_context_of_one_is_rejected(corpus, capsys):
    assert main(["train", str(corpus), "--model", "cnn", "--context", "1"]) == 2
    assert "--context 1 is too small; give 2 or more" in " ".join(capsys.readouterr().err.split())
