"""The gradient check itself: it must fail for every planted bug, and its worked examples must be correct."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import nlmcli
from nlmcli.cli.app import main
from nlmcli.engine.checking import gradcheck
from nlmcli.engine.checking.examples import bptt, example, losses, names
from nlmcli.engine.checking.examples.base.numeric import disagreeing
from nlmcli.errors import InputError
from nlmcli.models.rnn import elman, elman_backward
from nlmcli.nn.pair import PAIRS, Pair, is_differentiable
from nlmcli.optim import OPTIMIZERS

RNN, LSTM = ("models/rnn.py", "--model", "rnn", "--layer", "elman"), ("models/lstm.py", "--layer", "lstm")
WINDOW, EMBEDDING = ("nn/window.py", "--layer", "window", "--model", "window"), ("nn/embedding.py", "--layer", "embedding")
ATTENTION, LAYERNORM = ("nn/attention.py", "--layer", "attention"), ("nn/layernorm.py", "--layer", "layernorm")
NPLM = ("models/nplm.py", "--model", "nplm")

# description: (file and options of gradcheck, correct code, bug)
BUGS = {
    "no gradient for the first time step": (RNN, "    drows = np.zeros(", "    da[0] = 0\n    drows = np.zeros("),
    "h_t instead of h_{t-1}": (RNN, "hs[:T]", "hs[1:]"),
    "1 - h² is missing": (RNN, " * (one - h[j] * h[j])", ""),
    "a buffer not initialized to zero": (RNN, "np.zeros_like(hs[0]) if", "np.ones_like(hs[0]) if"),
    "a transposed weight": (RNN, "pack(Wh.T)", "pack(Wh)"),
    "c_t instead of c_{t-1}": (LSTM, "dc[j] * c_before[j]", "dc[j] * c[j]"),
    "no gradient through the cell state": (LSTM, "dc[j] += dh[j]", "dc[j] = dh[j]"),
    "an embedding gradient not initialized to zero": (EMBEDDING, "np.zeros(shape, de.dtype)", "np.ones(shape, de.dtype)"),
    "no gradient through the sum of the softmax": (ATTENTION, "(d[j] - mean)", "d[j]"),
    "no scaling of the scores in the backward pass": (ATTENTION, "d[j] = scale * p[j]", "d[j] = p[j]"),
    "no gradient through the mean": (LAYERNORM, "(d[j] - mean - hat", "(d[j] - hat"),
    "dropout only in the forward pass": (NPLM, "if keep is not None:\n", "if False:\n"),
    "a missing weight gradient": (WINDOW, "multiply(out[:, H:].T, da, dW1, accumulate=True)", "pass"),
}


@pytest.fixture(scope="module")
def package_copy(tmp_path_factory):
    """A copy of the package to plant bugs in.  -> its parent folder"""
    root = tmp_path_factory.mktemp("package")
    shutil.copytree(Path(nlmcli.__file__).parent, root / "nlmcli", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def run_gradcheck(process, package_copy, *options):
    """gradcheck with the copied package -> exit code, {(of, name) of each wrong gradient}."""
    done = process("gradcheck", "--json", *options, path=package_copy, env={"NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["passed"] == all(row["passed"] for row in document["rows"])
    return done.returncode, {(row["of"], row["name"]) for row in document["rows"] if not row["passed"]}


@pytest.mark.parametrize("options", sorted({tuple(options) for (_, *options), _, _ in BUGS.values()}))
def test_the_unmodified_package_passes(process, package_copy, options):
    assert run_gradcheck(process, package_copy, *options) == (0, set())


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_fails(process, package_copy, bug):
    (name, *options), correct, buggy = BUGS[bug]
    file = package_copy / "nlmcli" / name
    source = file.read_text()
    assert source.count(correct) == 1, f"{name} was rewritten; update BUGS: {bug}"
    file.write_text(source.replace(correct, buggy))
    try:
        code, wrong = run_gradcheck(process, package_copy, *options)
    finally:
        file.write_text(source)
    assert code == 1
    assert wrong


def square(x):
    return x * x, x


def square_pair(damage):
    """y = x² with a damaged gradient."""
    return Pair("square", square, lambda dy, x: (damage(2 * x * dy),), lambda rng: (rng.normal(size=(3, 2)),))


DAMAGES = {
    "a wrong factor": lambda dx: 1.001 * dx,
    "a NaN": lambda dx: np.where(np.arange(6).reshape(3, 2) == 4, np.nan, dx),
    "an infinity": lambda dx: np.where(np.arange(6).reshape(3, 2) == 0, np.inf, dx),
    "a wrong shape": lambda dx: dx.T,
    "a shape that broadcasts": lambda dx: dx[:1],
    "zeros": np.zeros_like,
}


def test_a_correct_gradient_passes():
    (row,) = gradcheck.check_pair(square_pair(lambda dx: dx))
    assert row.passed and row.error < 1e-8 and row.shape == (3, 2) and (row.of, row.name) == ("square", "x")


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_gradient_fails(damage, monkeypatch, capsys):
    pair = square_pair(DAMAGES[damage])
    assert [row.passed for row in gradcheck.check_pair(pair)] == [False]
    gradcheck.all_pairs()
    monkeypatch.setitem(PAIRS, "square", pair)
    assert main(["gradcheck", "--layer", "square"]) == 1
    out, err = capsys.readouterr()
    assert "WRONG" in out and "square.x" in out and err == ""
    assert main(["gradcheck", "--layer", "square", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


def test_checking_leaves_the_inputs_unchanged():
    inputs = []

    def example(rng):
        inputs.append(rng.normal(size=4))
        return (inputs[0],)

    gradcheck.check_pair(Pair("square", square, lambda dy, x: (2 * x * dy,), example))
    np.testing.assert_array_equal(inputs[0], np.random.default_rng(0).normal(size=4))


def test_only_float_arrays_are_differentiable():
    assert is_differentiable(np.zeros(2, np.float32))
    assert not any(map(is_differentiable, (np.zeros(2, int), 1.0, None, [1.0])))


def test_float32_has_its_own_tolerance():
    rows = list(gradcheck.check(layer="linear", dtype="float32"))
    assert all(row.passed for row in rows) and max(row.error for row in rows) > 1e-6


def test_all_inputs_of_a_pair_have_one_dtype():
    """Those inside a tuple too."""
    past, keep = gradcheck.to_dtype((np.zeros(2), np.array([1, 2])), "float32")
    assert past.dtype == np.float32 and keep.dtype == np.int64
    assert all(row.passed for row in gradcheck.check(layer="attention", dtype="float32"))


def test_high_curvature_does_not_fail_a_correct_gradient_and_a_wrong_one_still_fails():
    x = np.array([0.001, -0.002, 0.003])

    def check(factor):
        rows = gradcheck.rows("tanh", {"x": (x, factor * 400 / np.cosh(400 * x) ** 2)}, lambda: np.tanh(400 * x).sum(), "float64", 1e-6)
        return rows[0]

    assert check(1.0).passed
    assert not check(1.0001).passed


def test_the_tolerance_decides():
    assert not any(row.passed for row in gradcheck.check(layer="tanh", tolerance=1e-15))


def test_a_trained_run_is_checked(run):
    rows = list(gradcheck.check(run=run))
    assert {row.name for row in rows} == {"E", "We", "Wh", "b1", "U", "b2"}
    assert all(row.passed for row in rows)


@pytest.mark.parametrize("options", [{"layer": "liner"}, {"model": "rn"}, {"dtype": "float16", "layer": "linear"}])
def test_an_unknown_name_is_refused_with_a_suggestion(options):
    with pytest.raises(InputError, match=r"did you mean '(linear|rnn|float32|float64)'"):
        list(gradcheck.check(**options))


# the lecture's worked examples


@pytest.mark.parametrize("name", names())
def test_every_factor_equals_its_numeric_value(name):
    compared = [(what, value, numeric) for what, value, numeric in example(name) if numeric is not None]
    assert sum(np.size(value) for _, value, _ in compared) >= 4
    for what, value, numeric in compared:
        np.testing.assert_allclose(value, numeric, rtol=1e-8, atol=1e-8, err_msg=what)
    assert not disagreeing(example(name))


def test_the_neuron_matches_the_chain_rule_by_hand():
    lines = {what: value for what, value, _ in example("neuron")}
    h = np.tanh(0.4)
    o = np.tanh(-0.6 * h)
    assert lines["dL/dw2 = dL/do do/da da/dw2"] == pytest.approx((o - 1) * (1 - o**2) * h, rel=1e-12)
    assert lines["dL/dw1 = dL/do do/da da/dh dh/db db/dw1"] == pytest.approx((o - 1) * (1 - o**2) * -0.6 * (1 - h**2) * 0.5, rel=1e-12)
    assert lines["L after the update"] < lines["L = 1/2 (y - o)^2"]


def test_the_softmax_matches_the_lecture():
    lines = [(what, value) for what, value, _ in example("softmax")]
    p = {what[2:].split("]")[0]: value for what, value in lines if what.startswith("p[") and "exp" in what}
    assert {word: f"{value:.{3 if word == 'cars' else 2}f}" for word, value in p.items()} == {
        "books": "0.24", "cars": "0.006", "laptops": "0.73", "zoo": "0.02",
    }  # fmt: skip
    dt = [value for what, value in lines if what.startswith("dL/dt")]
    np.testing.assert_allclose(dt, np.array(list(p.values())) - [1, 0, 0, 0], atol=1e-12)
    assert dict(lines)["L after the update"] < dict(lines)["L = -ln p[books], the target is books"]


def test_the_jacobians_of_the_linear_layer_equal_the_two_products():
    lines = {what: value for what, value, _ in example("linear")}
    np.testing.assert_allclose(lines["dL/dX through the Jacobian"], lines["dL/dX = dL/dY W^T"], atol=1e-12)
    np.testing.assert_allclose(lines["dL/dW through the Jacobian"], lines["dL/dW = X^T dL/dY"], atol=1e-12)
    assert lines["dY/dX, the Jacobian (2·3, 2·2)"].shape == (6, 4)
    assert lines["L after the update"] < lines["L = Σ dL/dY · Y, over all entries"]


def values_of(name):
    return {what: value for what, value, _ in example(name)}


def test_the_shares_of_all_occurrences_add_up_to_what_the_engine_computes():
    lines = values_of("bptt")
    shares = [value for what, value in lines.items() if what.startswith("dJ/dWh|(")]
    (hs, _), cache = elman(bptt.ROWS, np.arange(4)[:, None], bptt.WH, bptt.H0[None])
    p = np.exp(hs[-1, 0] @ bptt.U) / np.exp(hs[-1, 0] @ bptt.U).sum()
    dh = np.zeros_like(hs)
    dh[-1, 0] = bptt.U @ (p - [1, 0, 0])
    dWh = elman_backward((dh, None), cache)[1]
    for total in (sum(shares), lines["dJ/dWh = the sum of all shares"]):
        np.testing.assert_allclose(total, dWh, rtol=1e-12)
    assert len(shares) == 4 and all(np.linalg.matrix_rank(share) == 1 for share in shares)
    norms = [float(np.ravel(value)[0]) for what, value in lines.items() if what.startswith("share ")]
    np.testing.assert_allclose(norms, [np.linalg.norm(share) for share in shares])
    assert norms == sorted(norms, reverse=True)
    assert lines["J after the update"] < lines["J = -ln p[books], at the last step"]


def test_a_share_is_the_derivative_by_one_occurrence_alone():
    moved = {i: bptt.loss_with(bptt.WH + 0.01, i) - bptt.loss_with(bptt.WH) for i in (*range(4), None)}
    assert len({round(change, 12) for change in moved.values()}) == 5
    assert sum(moved[i] for i in range(4)) == pytest.approx(moved[None], rel=0.05)


def test_the_short_form_equals_the_chain_rule():
    for part in (losses.binary(), losses.likelihood(), losses.squared()):
        lines = {what: value for what, value, _ in part}
        (short,) = (value for what, value in lines.items() if "in short" in what)
        np.testing.assert_allclose(lines["dL/da = dL/dŷ dŷ/da"], short, rtol=1e-12)
    lines = {what: value for what, value, _ in losses.binary()}
    probability = 1 / (1 + math.exp(1))
    assert lines["L = -y ln ŷ - (1 - y) ln(1 - ŷ)"] == pytest.approx(-math.log(probability), rel=1e-12)
    assert lines["dL/da in short: ŷ - y"] == pytest.approx(probability - 1, rel=1e-12)


# (x, y) = (-1, 0.001) has the gradient g = (-2, -0.002); the learning rate is 0.05
BY_HAND = {
    "sgd": lambda g: 0.05 * g,
    "momentum": lambda g: 0.05 * g,  # change(1) = η g
    "adagrad": lambda g: 0.05 * g / (np.sqrt(g**2) + 1e-10),
    "rmsprop": lambda g: 0.05 * g / (np.sqrt(0.01 * g**2) + 1e-8),
    "adam": lambda g: 0.05 * (0.1 * g / (1 - 0.9)) / (np.sqrt(0.001 * g**2 / (1 - 0.999)) + 1e-8),
    "adamw": lambda g: 0.05 * g / (np.abs(g) + 1e-8) + 0.05 * 0.1 * np.array([-1, 0.001]),
    "sophia": lambda g: 0.05 * np.sign(g) + 0.05 * 0.2 * np.array([-1, 0.001]),  # clipped in both
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_first_step_of_an_optimizer_by_hand(name):
    x, y, f = (value for what, value, _ in example("optimizers") if what == name and value.size == 6)
    expected = np.array([-1, 0.001]) - BY_HAND[name](np.array([-2, -0.002]))
    np.testing.assert_allclose([x[1], y[1]], expected, rtol=1e-10)
    np.testing.assert_allclose(f, x**2 - y**2, rtol=1e-12)


def test_the_second_step_of_momentum_adds_to_the_first():
    _, x, y = [value for what, value, _ in example("optimizers") if what == "momentum"][:3]
    np.testing.assert_allclose(x[2] - x[1], 0.9 * 0.1 + 0.1 * 0.05 * 1.8, rtol=1e-12)
    np.testing.assert_allclose(y[2] - y[1], 0.9 * 0.0001 + 0.1 * 0.05 * 0.0022, rtol=1e-12)


def test_every_optimizer_takes_its_steps():
    listed = [what for what, value, _ in example("optimizers") if getattr(value, "size", 0) == 6]
    assert [listed.count(name) for name in OPTIMIZERS.names()] == [3] * len(OPTIMIZERS.names())


def test_dropout_changes_nothing_on_average():
    lines = values_of("dropout")
    h, mask = lines["h"], lines["mask, drawn once; 0: dropped"]
    assert 0 < mask.sum() < 4
    np.testing.assert_array_equal(lines["y = h mask / (1 - p)"], 2 * h * mask)
    np.testing.assert_array_equal(lines["dL/dh = dL/dy mask / (1 - p)"], 2 * lines["dL/dy, given"] * mask)
    np.testing.assert_allclose(lines["E[y], equal to h"], h, rtol=1e-15)
    np.testing.assert_allclose(lines["E[h mask], without 1 / (1 - p)"], h / 2, rtol=1e-15)
    np.testing.assert_array_equal(lines["y"], h)


def test_a_wrong_derivative_in_an_example_fails(monkeypatch, capsys):
    def half(dy, cache):
        drows, dWh, dh0 = elman_backward(dy, cache)
        return drows, 0.5 * dWh, dh0

    monkeypatch.setattr(bptt, "elman_backward", half)
    assert main(["gradcheck", "--example", "bptt"]) == 1
    assert "\n\n1 of 8 derivatives are wrong: dJ/dWh by elman_backward" in capsys.readouterr().out
    assert main(["gradcheck", "--example", "bptt", "--json"]) == 1
    assert main(["gradcheck", "--example", "bptt", "--tolerance", "2"]) == 0


@pytest.mark.parametrize(
    ("value", "numeric"), [(1.0, 1.00001), (float("nan"), 1.0), (np.ones(2), np.ones(3)), (1.0, float("nan")), (1e-8, 0.0)]
)
def test_what_disagrees(value, numeric):
    assert disagreeing([("a heading", None, None), ("no derivative", 2.0, None), ("wrong", value, numeric)]) == ["wrong"]


def test_the_examples_are_listed(capsys):
    assert main(["gradcheck", "--help"]) == 0
    assert ", ".join(names()) in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert main(["gradcheck", "--example", "zzz"]) == 2
    assert capsys.readouterr().err == f"nlm: unknown example 'zzz'; known: {', '.join(names())}\n"


@pytest.mark.parametrize("name", names())
def test_an_example_as_text_and_as_json(name, capsys):
    assert main(["gradcheck", "--example", name]) == 0
    out = capsys.readouterr().out
    assert "numeric" in out and "-0.000000" not in out and not re.search(r"-0\.0+(\s|$)", out)
    assert max(map(len, out.splitlines())) <= 80
    if name == "linear":
        assert "\n\nW (2,3)\n" in out and re.search(r"1.0 +0.0 +0.0 +-2.0 +0.0 +0.0 +numeric +1.0 +0.0", out)
    assert main(["gradcheck", "--example", name, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["example"] == name
    assert all(set(line) == {"what", "value", "numeric"} for line in document["lines"])
