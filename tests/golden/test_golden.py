"""Outputs and gradients against what PyTorch made of the same numbers (make.py beside this file)."""

from pathlib import Path

import numpy as np
import pytest
from whole import loss_and_gradient

from nlmcli import models
from nlmcli.engine.gradcheck import all_pairs
from nlmcli.nn.params import Params

FOLDER = Path(__file__).parent
FILES = sorted(file.stem for file in FOLDER.glob("*_[12].npz"))
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])


def golden(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def part(gold, prefix):
    return {key.removeprefix(prefix): value for key, value in gold.items() if key.startswith(prefix)}


@PRECISIONS
@pytest.mark.parametrize("file", FILES)
def test_recurrent_models(file, dtype, tolerance):
    name, layers = file.split("_")
    if name not in models.neural_names():
        pytest.skip(f"there is no model {name}")
    gold = golden(file)
    theta = part(gold, "theta.")
    (size, D), H = theta["E"].shape, len(theta["U"])
    Architecture = models.model_class(name)
    model = Architecture(Architecture.Config(embed=D, hidden=H, layers=int(layers)), size, newline=0)
    P = Params(model.shapes(), dtype=dtype)
    assert set(P.shapes) == set(theta)
    for letter, value in P.items():
        value[...] = theta[letter]
    state = tuple(value.astype(dtype) for value in part(gold, "state.").values())
    loss, h, after, G = loss_and_gradient(model, P, gold["x"], gold["y"], state)
    assert h.dtype == G.flat.dtype == dtype
    found = {"h": h, "loss": loss, **{f"after.{k}": s for k, s in enumerate(after)}, **{f"gradient.{k}": g for k, g in G.items()}}
    for what, value in found.items():
        assert np.abs(value - gold[what]).max() <= tolerance * np.abs(gold[what]).max(), what


@PRECISIONS
def test_cross_entropy(dtype, tolerance):
    gold, pair = golden("cross_entropy"), all_pairs()["softmax_cross_entropy"]
    loss, cache = pair.forward(gold["z"].astype(dtype), gold["targets"])
    (dz,) = pair.backward(1.0, cache)
    assert loss == pytest.approx(float(gold["loss"]), rel=tolerance)
    np.testing.assert_allclose(dz, gold["dz"], atol=tolerance)


@PRECISIONS
def test_embedding(dtype, tolerance):
    gold, pair = golden("embedding"), all_pairs()["embedding"]
    e, cache = pair.forward(gold["E"].astype(dtype), gold["x"])
    (dE,) = pair.backward(gold["de"].astype(dtype), cache)
    np.testing.assert_allclose(e, gold["e"], atol=tolerance)
    np.testing.assert_allclose(dE, gold["dE"], atol=tolerance)
