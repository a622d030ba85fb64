"""Every derivative against central differences: (L(θ + ε) - L(θ - ε)) / 2ε, in float64; finer ones where these disagree.

The error of a name is the largest difference of its entries, divided by max(its own largest entry, 1e-3 times the
largest gradient of the whole): some gradients are exactly zero, and must not be divided by themselves.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli import models, nn
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.errors import InputError, suggest
from nlmcli.models import MODELS, neural_names
from nlmcli.models.base import Model
from nlmcli.nn.pair import PAIRS, Pair, is_differentiable
from nlmcli.nn.params import Params
from nlmcli.nn.philox import Philox

SMALL = {"embed": 4, "hidden": 6, "layers": 2, "heads": 2, "context": 3}
VOCABULARY, STEPS, BATCH = 7, 5, 3
STEP = {"float64": 1e-5, "float32": 1e-2}
TOLERANCE = {"float64": 1e-6, "float32": 2e-2}
Difference = Callable[[np.ndarray, tuple, Callable[[], float], float], float]
ENTRIES = 40  # of each name that are checked in a trained run, where there are too many for all


@dataclass(frozen=True)
class Row:
    """One name of one model or pair: the largest gradient and the worst relative error of its entries."""

    of: str
    name: str
    shape: tuple[int, ...]
    largest: float
    error: float
    passed: bool


def all_pairs() -> dict[str, Pair]:
    """Every pair there is: the modules that register them are imported first."""
    for package in (nn, models):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return PAIRS


def check_pair(pair: Pair, dtype: str = "float64", tolerance: float | None = None) -> list[Row]:
    """A row for every differentiable input of a pair. L = Σ r y, with random r, has dL/dy = r."""
    rng = np.random.default_rng(0)
    inputs = [of_dtype(v, dtype) for v in pair.example(rng)]
    y, cache = pair.forward(*inputs)
    r = [rng.normal(size=np.shape(part)).astype(dtype) for part in as_tuple(y)]
    gradients = iter(pair.backward(r[0] if not isinstance(y, tuple) else tuple(r), cache))

    def loss() -> float:
        out, _ = pair.forward(*inputs)
        return sum(float((a.astype(np.float64) * b).sum()) for a, b in zip(map(np.asarray, as_tuple(out)), r, strict=True))

    found = {name: (v, next(gradients)) for name, v in zip(pair.input_names(), inputs, strict=True) if is_differentiable(v)}
    return rows(pair.name, found, loss, dtype, tolerance)


def of_dtype(value: Any, dtype: str) -> Any:
    """The value with its floats in this precision, those of a tuple too."""
    if isinstance(value, tuple):
        return tuple(of_dtype(v, dtype) for v in value)
    return value.astype(dtype) if is_differentiable(value) else value


def check_model(name: str, dtype: str = "float64", tolerance: float | None = None) -> list[Row]:
    """A row for every parameter of a small model, on a batch with padding, from a state that is not the start.

    In every variant, since a model may take another way then: with dropout and without, with one layer and with two, with
    the embeddings as output matrix and with one of its own. The row is that of the larger error.
    """
    refuse_counting(name)
    has = {field.name for field in fields(MODELS.get(name).Config)}
    variants: list[dict[str, float]] = [{"dropout": 0.3}, {}]
    another: dict[str, float] = {option: value for option, value in (("layers", 1), ("tie", False)) if option in has}
    if another:
        variants.append(another)
    worst: dict[str, Row] = {}
    for variant in variants:
        for row in check_small(name, {**SMALL, **variant}, dtype, tolerance):
            worst[row.name] = max(worst.get(row.name, row), row, key=lambda row: (not row.passed, row.error))
    return list(worst.values())


def refuse_counting(name: str) -> None:
    """Raises InputError for a model without derivatives."""
    if not MODELS.get(name).neural:
        raise InputError(f"model {name} counts and has no derivatives to check; models that have: {', '.join(neural_names())}")


def check_small(name: str, sizes: dict[str, Any], dtype: str, tolerance: float | None) -> list[Row]:
    Architecture = MODELS.get(name)
    config = Architecture.Config(**{f.name: sizes[f.name] for f in fields(Architecture.Config) if f.name in sizes})
    model = Architecture(config, VOCABULARY, newline=1)
    rng = np.random.default_rng(0)
    P = model.initialise(rng, dtype)
    P.flat += 0.1 * rng.standard_normal(P.flat.size).astype(dtype)  # biases that are not zero
    x, y = rng.integers(0, VOCABULARY, (2, STEPS, BATCH))
    _, state, _ = model.forward(P, rng.integers(0, VOCABULARY, (4, BATCH)), model.start(BATCH, dtype))
    y[-1, 0] = -1
    return check_parameters(name, model, P, x, y, state, dtype, tolerance, dropout=config.dropout > 0)


def check_run(lm: LanguageModel, dtype: str = "float64", tolerance: float | None = None) -> list[Row]:
    """A row for every parameter of a trained model, on a sample of its entries and a made-up text."""
    refuse_counting(lm.settings.model)
    rng = np.random.default_rng(0)
    P = Params(lm.P.shapes, lm.P.flat.astype(dtype))
    x, y = rng.integers(0, lm.model.V, (2, STEPS, BATCH))
    state = lm.model.start(BATCH, dtype)
    return check_parameters(lm.settings.model, lm.model, P, x, y, state, dtype, tolerance, entries=ENTRIES)


def check_parameters(
    of: str,
    model: Model,
    P: Params,
    x: np.ndarray,
    y: np.ndarray,
    state: Any,
    dtype: str,
    tolerance: float | None,
    dropout: bool = False,
    entries: int | None = None,
) -> list[Row]:
    """A row for every parameter: the model's backward and the shared head against differences of the loss."""
    targets, n = y.reshape(-1), np.count_nonzero(y >= 0)

    def loss_and_gradient(G: Params) -> float:
        draw = Philox(0) if dropout else None
        return model.step(P, x, targets, state, 1 / n, G, draw)[0] / n

    G = P.zeros_like()
    loss_and_gradient(G)
    scratch = P.zeros_like()
    found = {name: (P[name], G[name]) for name in P.shapes}
    return rows(of, found, lambda: loss_and_gradient(scratch), dtype, tolerance, entries)


def rows(
    of: str,
    found: dict[str, tuple[np.ndarray, np.ndarray]],
    loss: Callable[[], float],
    dtype: str,
    tolerance: float | None,
    entries: int | None = None,
) -> list[Row]:
    """found: name -> (value, gradient by backward). The values are moved in place, one entry at a time."""
    tolerance, step = TOLERANCE[dtype] if tolerance is None else tolerance, STEP[dtype]
    numeric = {name: differences(value, loss, step, entries, central_difference) for name, (value, _) in found.items()}
    largest = {name: float(np.max(np.abs(list(by_entry.values())))) for name, by_entry in numeric.items()}
    whole = max(largest.values())
    out = []
    for name, (value, gradient) in found.items():
        scale = max(largest[name], 1e-3 * whole, 1e-300)
        error = worst(gradient, numeric[name], value.shape) / scale
        if not error <= tolerance:  # the difference may be what is wrong; a NaN fails too
            error = worst(gradient, differences(value, loss, step, entries, finer_difference), value.shape) / scale
        out.append(Row(of, name, value.shape, largest[name], error, error <= tolerance))
    return out


def worst(gradient: np.ndarray, numeric: dict[tuple, float], shape: tuple[int, ...]) -> float:
    """The largest |gradient - numeric| of the entries; infinite where the gradient is not even of the value's shape."""
    return float(np.max([abs(gradient[i] - d) for i, d in numeric.items()])) if gradient.shape == shape else float("inf")


def differences(value: np.ndarray, loss: Callable[[], float], step: float, entries: int | None, by: Difference) -> dict[tuple, float]:
    """dL/dvalue[index] by differences, of every entry, or of so many drawn at random."""
    places = list(np.ndindex(value.shape))
    if entries is not None and entries < len(places):
        places = [places[i] for i in np.random.default_rng(0).choice(len(places), entries, replace=False)]
    return {i: by(value, i, loss, step) for i in places}


def central_difference(value: np.ndarray, i: tuple, loss: Callable[[], float], h: float) -> float:
    """D(h) = (L(value[i] + h) - L(value[i] - h)) / 2h, with the h that a float makes of it; it errs by what h² is worth."""
    kept = value[i]
    value[i] = kept + h
    above, right = loss(), float(value[i])
    value[i] = kept - h
    below, left = loss(), float(value[i])
    value[i] = kept
    return (above - below) / (right - left)


def finer_difference(value: np.ndarray, i: tuple, loss: Callable[[], float], h: float) -> float:
    """(4 D(h/2) - D(h)) / 3, which errs by what h⁴ is worth only.  Richardson 1911

    For where L bends sharply, such as below a normalisation of numbers near zero.
    """
    near, far = (central_difference(value, i, loss, step) for step in (h / 2, h))
    return (4 * near - far) / 3


def as_tuple(y: Any) -> tuple:
    return y if isinstance(y, tuple) else (y,)


def pair_named(name: str) -> Pair:
    """The pair of that name.  Raises InputError for an unknown one."""
    pairs = all_pairs()
    if name not in pairs:
        raise InputError(f"unknown layer {name!r}{suggest(name, sorted(pairs))}")
    return pairs[name]


def check(
    model: str | None = None, layer: str | None = None, run: Path | None = None, dtype: str = "float64", tolerance: float | None = None
) -> Iterator[Row]:
    """The rows of one model, one pair or one run; of every pair and every model where none is named."""
    if dtype not in STEP:
        raise InputError(f"unknown dtype {dtype!r}{suggest(dtype, sorted(STEP))}")
    if run is not None:
        yield from check_run(LanguageModel.load(run), dtype, tolerance)
    if model is not None:
        yield from check_model(model, dtype, tolerance)
    if layer is not None:
        yield from check_pair(pair_named(layer), dtype, tolerance)
    if run is model is layer is None:
        for pair in all_pairs().values():
            yield from check_pair(pair, dtype, tolerance)
        for name in neural_names():
            yield from check_model(name, dtype, tolerance)
