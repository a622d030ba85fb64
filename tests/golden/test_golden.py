"""Outputs and gradients against what PyTorch made of the same numbers (make.py beside this file)."""

from pathlib import Path

import numpy as np
import pytest
from whole import loss_and_gradient

from nlmcli.engine.checking.gradcheck import all_pairs
from nlmcli.models import MODELS, neural_names
from nlmcli.nn.params import Params
from nlmcli.optim import OPTIMIZERS

FOLDER = Path(__file__).parent
FILES = sorted(file.stem for file in FOLDER.glob("*_[12].npz"))
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])


def golden(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def part(gold, prefix):
    return {key.removeprefix(prefix): value for key, value in gold.items() if key.startswith(prefix)}


def filled(model, theta, dtype):
    """Parameters with these values."""
    P = Params(model.shapes(), dtype=dtype)
    assert set(P.shapes) == set(theta)
    for letter, value in P.items():
        value[...] = theta[letter]
    return P


def agrees(model, P, state, gold, tolerance):
    """h, the loss, every gradient, and where it is known the state after."""
    loss, h, after, G = loss_and_gradient(model, P, gold["x"], gold["y"], state)
    assert h.dtype == G.flat.dtype == P.flat.dtype
    found = {"h": h, "loss": loss, **{f"gradient.{k}": g for k, g in G.items()}}
    if "after.0" in gold:
        found |= {f"after.{k}": s for k, s in enumerate(after)}
    for what, value in found.items():
        assert np.abs(value - gold[what]).max() <= tolerance * np.abs(gold[what]).max(), what


def compare(found, gold, tolerance):
    """Relative to the largest number of each array."""
    for what, value in found.items():
        assert np.shape(value) == gold[what].shape, what
        assert np.abs(value - gold[what]).max() <= tolerance * np.abs(gold[what]).max(), what


@PRECISIONS
@pytest.mark.parametrize("file", FILES)
def test_recurrent_models(file, dtype, tolerance):
    name, layers = file.split("_")
    if name not in neural_names():
        pytest.skip(f"there is no model {name}")
    gold = golden(file)
    theta = part(gold, "theta.")
    (size, D), H = theta["E"].shape, len(theta["U"])
    Architecture = MODELS.get(name)
    model = Architecture(Architecture.Config(embed=D, hidden=H, layers=int(layers)), size, newline=0)
    P = filled(model, theta, dtype)
    state = tuple(value.astype(dtype) for value in part(gold, "state.").values())
    agrees(model, P, state, gold, tolerance)


@PRECISIONS
def test_a_wavenet(dtype, tolerance):
    gold = golden("cnn")
    theta = part(gold, "theta.")
    (size, D), H = theta["E"].shape, len(theta["U"])
    Architecture = MODELS.get("cnn")
    model = Architecture(Architecture.Config(embed=D, hidden=H, context=int(gold["context"])), size, newline=0)
    P = filled(model, theta, dtype)
    agrees(model, P, model.start(gold["x"].shape[1], dtype), gold, tolerance)


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


@PRECISIONS
def test_adamw(dtype, tolerance):
    gold, AdamW = golden("adamw"), OPTIMIZERS.get("adamw")
    config = AdamW.Config(beta1=0.8, beta2=0.95, epsilon=1e-6, weight_decay=0.3)
    theta = gold["theta"].astype(dtype)
    optimizer = AdamW(config, theta.size, dtype, decayed=[slice(0, 6), slice(9, 14)])
    for t, (g, after) in enumerate(zip(gold["g"].astype(dtype), gold["after"], strict=True), 1):
        optimizer.step(theta, g, 1.0, 0.05, t)
        np.testing.assert_allclose(theta, after, atol=tolerance)


@PRECISIONS
def test_depthwise_convolution(dtype, tolerance):
    gold, pair = golden("depthwise_convolution"), all_pairs()["depthwise_convolution"]
    y, cache = pair.forward(*(gold[name].astype(dtype) for name in ("x", "K", "b")))
    gradients = pair.backward(gold["dy"].astype(dtype), cache)
    for what, value in zip(("y", "dx", "dK", "db"), (y, *gradients), strict=True):
        assert value.dtype == dtype
        assert np.abs(value - gold[what]).max() <= tolerance * np.abs(gold[what]).max(), what


def mamba_of(gold, dtype):
    """The model of the golden file, and its parameters."""
    theta = part(gold, "theta.")
    (size, D), (layers, _, H) = theta["E"].shape, theta["Wx"].shape
    Architecture = MODELS.get("mamba")
    model = Architecture(Architecture.Config(embed=D, hidden=H, layers=layers), size, newline=0)
    P = Params(model.shapes(), dtype=dtype)
    assert set(P.shapes) == {*theta, "b2"}  # theirs has no b2; ours stays 0
    for letter, value in theta.items():
        P[letter][...] = value
    return model, P


@PRECISIONS
def test_mamba(dtype, tolerance):
    gold = golden("mamba")
    model, P = mamba_of(gold, dtype)
    x, y = gold["x"], gold["y"]
    loss, h, after, G = loss_and_gradient(model, P, x, y, model.start(x.shape[1], dtype))
    assert h.dtype == G.flat.dtype == dtype
    gradients = {f"gradient.{k}": g for k, g in G.items() if k != "b2"}
    for what, value in {"h": h, "loss": loss, "after.0": after[0], "after.1": after[1], **gradients}.items():
        assert np.abs(value - gold[what]).max() <= tolerance * np.abs(gold[what]).max(), what


@PRECISIONS
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_mamba_in_two_segments(dtype, tolerance, cut):
    gold = golden("mamba")
    model, P = mamba_of(gold, dtype)
    first, state, _ = model.forward(P, gold["x"][:cut], model.start(gold["x"].shape[1], dtype))
    second, after, _ = model.forward(P, gold["x"][cut:], state)
    for value, what in ((np.concatenate([first, second]), "h"), (after[0], "after.0"), (after[1], "after.1")):
        assert np.abs(value - gold[what]).max() <= tolerance * np.abs(gold[what]).max(), what


@PRECISIONS
def test_dilated_convolution(dtype, tolerance):
    gold, pair = golden("dilated_convolution"), all_pairs()["dilated_convolution"]
    names = pair.input_names()
    y, cache = pair.forward(*(gold[name].astype(dtype) for name in names))
    found = dict(zip([f"d{name}" for name in names], pair.backward(gold["dy"].astype(dtype), cache), strict=True)) | {"y": y}
    for what, value in found.items():
        np.testing.assert_allclose(value, gold[what], atol=tolerance * np.abs(gold[what]).max(), err_msg=what)


@PRECISIONS
@pytest.mark.parametrize("name", ["layernorm", "gelu"])
def test_layers(name, dtype, tolerance):
    gold, pair = golden(name), all_pairs()[name]
    y, cache = pair.forward(*(gold[letter].astype(dtype) for letter in pair.input_names()))
    gradients = pair.backward(gold["dy"].astype(dtype), cache)
    compare({"y": y, **{f"d{letter}": d for letter, d in zip(pair.input_names(), gradients, strict=True)}}, gold, tolerance)


@PRECISIONS
def test_attention(dtype, tolerance):
    gold, pair = golden("attention"), all_pairs()["attention"]
    batch, steps, width = gold["o"].shape
    nothing = np.zeros((2, batch, steps, width), dtype)
    o, cache = pair.forward(gold["qkv"].astype(dtype), int(gold["heads"]), (*nothing, np.zeros(batch, int)))
    compare({"o": o, "dqkv": pair.backward(gold["do"].astype(dtype), cache)[0]}, gold, tolerance)


@PRECISIONS
@pytest.mark.parametrize("tie", [True, False])
def test_gpt2(tie, dtype, tolerance):
    gold = golden("gpt2_tied" if tie else "gpt2_untied")
    theta = part(gold, "theta.")
    (size, D), (layers, _, hidden), context = theta["E"].shape, theta["W1"].shape, len(theta["Ep"])
    Architecture = MODELS.get("transformer")
    model = Architecture(Architecture.Config(embed=D, hidden=hidden, layers=layers, heads=2, context=context, tie=tie), size, newline=0)
    agrees(model, filled(model, theta, dtype), model.start(gold["x"].shape[1], dtype), gold, tolerance)
