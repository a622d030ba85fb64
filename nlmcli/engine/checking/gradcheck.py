"""Gradient check: every derivative against the central difference (L(θ + ε) - L(θ - ε)) / 2ε; a finer one where they disagree.

The error of a parameter or input is its largest absolute difference over all entries, divided by max(its largest gradient,
1e-3 times the largest gradient of the model or pair), since some gradients are exactly zero.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli import models, nn
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.errors import InputError, suggest
from nlmcli.heads import HEADS
from nlmcli.heads.base.encoder import Encoder, Forms
from nlmcli.models import MODELS, neural_names
from nlmcli.nn.pair import PAIRS, Pair, is_differentiable
from nlmcli.nn.params import Params
from nlmcli.nn.philox import Philox

SMALL = {"embed": 4, "hidden": 6, "layers": 2, "heads": 2, "context": 3}
VOCABULARY, STEPS, BATCH = 7, 5, 3
EPSILON = {"float64": 1e-5, "float32": 1e-2}
TOLERANCE = {"float64": 1e-6, "float32": 2e-2}
Difference = Callable[[np.ndarray, tuple, Callable[[], float], float], float]
ENTRIES = 40  # sampled per parameter of a trained run, which has too many to check all


@dataclass(frozen=True)
class Row:
    """One parameter or input of a model or pair: its largest gradient, and the largest relative error over its entries."""

    of: str
    name: str
    shape: tuple[int, ...]
    largest: float
    error: float
    passed: bool


def all_pairs() -> dict[str, Pair]:
    """All registered pairs; imports the modules that register them."""
    for package in (nn, models):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return PAIRS


def check_pair(pair: Pair, dtype: str = "float64", tolerance: float | None = None) -> list[Row]:
    """A row for each differentiable input of a pair.  L = Σ r y with random r, so dL/dy = r."""
    rng = np.random.default_rng(0)
    inputs = [to_dtype(v, dtype) for v in pair.example(rng)]
    y, cache = pair.forward(*inputs)
    r = [rng.normal(size=np.shape(part)).astype(dtype) for part in as_tuple(y)]
    gradients = iter(pair.backward(r[0] if not isinstance(y, tuple) else tuple(r), cache))

    def loss() -> float:
        out, _ = pair.forward(*inputs)
        return sum(float((a.astype(np.float64) * b).sum()) for a, b in zip(map(np.asarray, as_tuple(out)), r, strict=True))

    values = {name: (v, next(gradients)) for name, v in zip(pair.input_names(), inputs, strict=True) if is_differentiable(v)}
    return rows(pair.name, values, loss, dtype, tolerance)


def to_dtype(value: Any, dtype: str) -> Any:
    """A float array cast to this dtype, also inside a tuple; any other value unchanged."""
    if isinstance(value, tuple):
        return tuple(to_dtype(v, dtype) for v in value)
    return value.astype(dtype) if is_differentiable(value) else value


def check_model(name: str, dtype: str = "float64", tolerance: float | None = None) -> list[Row]:
    """A row for each parameter of a small model, on a batch with padding, from a state that is not the initial one.

    Checks several variants, which may run different code: with and without dropout, with one and two layers, with tied and
    untied embeddings, with clusters of an adaptive softmax, with each kind of dropout. Each row is that of the largest error.
    """
    refuse_count_based(name)
    available = {field.name for field in fields(MODELS.get(name).Config)}
    clusters = {"softmax": "adaptive", "cutoffs": "2,4"}
    dropouts = {"dropout": 0.3, "dropout_kind": "variational", "dropout_words": 0.3, "dropout_recurrent": 0.3}
    variants: list[dict[str, Any]] = [{"dropout": 0.3}, {"tie": False}, {"tie": True}, {"tie": False, **clusters}]
    variants += [{"tie": True, **clusters, **dropouts}, *([{"layers": 1}] if "layers" in available else [])]
    worst: dict[str, Row] = {}
    for variant in variants:
        for row in check_small(name, {**SMALL, **variant}, dtype, tolerance):
            worst[row.name] = max(worst.get(row.name, row), row, key=lambda row: (not row.passed, row.error))
    return list(worst.values())


def refuse_count_based(name: str) -> None:
    """Raises InputError for a count-based model, which has no gradients."""
    if not MODELS.get(name).neural:
        raise InputError(f"model {name} is count-based and has no gradients to check; neural models: {', '.join(neural_names())}")


def check_small(name: str, sizes: dict[str, Any], dtype: str, tolerance: float | None) -> list[Row]:
    Architecture = MODELS.get(name)
    config = Architecture.Config(**{f.name: sizes[f.name] for f in fields(Architecture.Config) if f.name in sizes})
    model = Architecture(config, VOCABULARY, newline=1)
    rng = np.random.default_rng(0)
    P = model.initialize(rng, dtype)
    P.flat += 0.1 * rng.standard_normal(P.flat.size).astype(dtype)  # nonzero biases
    x, y = rng.integers(0, VOCABULARY, (2, STEPS, BATCH))
    _, state, _ = model.forward(P, rng.integers(0, VOCABULARY, (4, BATCH)), model.start(BATCH, dtype))
    y[-1, 0] = -1
    return check_parameters(name, model, P, x, y, state, dtype, tolerance, dropout=config.dropout > 0)


def labelled_tasks() -> list[str]:
    """The names of the tasks whose heads are checked: those that learn from labelled texts."""
    return [name for name, Task in HEADS.members().items() if Task.labelled]


def check_head(task: str, name: str, dtype: str = "float64", tolerance: float | None = None) -> list[Row]:
    """A row for each parameter of a task's head on a small model, and of the model: one way and both ways, with padding.

    Checks several variants: single texts and pairs, two labels and three, each classifier, words read by their form or not.
    """
    refuse_count_based(name)
    worst: dict[str, Row] = {}
    for variant in head_variants(HEADS.get(task)):
        for row in check_small_head(task, name, dtype, tolerance, **variant):
            worst[row.name] = max(worst.get(row.name, row), row, key=lambda row: (not row.passed, row.error))
    return list(worst.values())


def head_variants(Task: Any) -> list[dict[str, Any]]:
    """The variants of a task's head that are checked."""
    has = {field.name for field in fields(Task.Config)}
    variants: list[dict[str, Any]] = [{"bidirectional": False}, {"bidirectional": True, "dropout": 0.3, "subwords": True, "bigrams": True}]
    if "classifier" in has:
        variants[1] |= {"classifier": "tanh", "labels": 2, "weights": np.array([0.5, 1.5]), "label_smoothing": 0.1}
    if Task.pairs:
        variants.append({"bidirectional": True, "paired": True, "bigrams": True})
    return variants


def check_small_head(
    task: str,
    name: str,
    dtype: str,
    tolerance: float | None,
    dropout: float = 0.0,
    labels: int = 3,
    paired: bool = False,
    weights: Any = None,
    **options: Any,
) -> list[Row]:
    Task: Any = HEADS.get(task)
    rng = np.random.default_rng(0)
    config = Task.Config(**options)
    encoder = small_encoder(name, config, dropout)
    head = Task(config, encoder, labels, paired, dropout, weights)
    P = head.initialize(rng, dtype)
    P.flat += 0.1 * rng.standard_normal(P.flat.size).astype(dtype)
    x = rng.integers(0, len(encoder.forms.word) if encoder.forms else VOCABULARY, (STEPS * (1 + paired), BATCH))
    x[::STEPS, :] = encoder.newline
    x[STEPS - 2 : STEPS, 0] = x[-1, 2] = -1
    y = head.example_answers(rng, x)
    return check_parameters(f"{task} {name}", head, P, x, y, (), dtype, tolerance, dropout=dropout > 0)


def small_encoder(name: str, config: Any, dropout: float) -> Encoder:
    """A small encoder, with seven rows for pairs of words; if it reads the forms of words, two of its words are outside the vocabulary."""
    Architecture = MODELS.get(name)
    sizes = {**SMALL, "dropout": dropout}
    model: Any = Architecture(
        Architecture.Config(**{f.name: sizes[f.name] for f in fields(Architecture.Config) if f.name in sizes}), 1, newline=0
    )
    pairs = 7 if config.bigrams else 0
    if not config.subwords:
        return Encoder(model, VOCABULARY, 1, config.bidirectional, pairs=pairs)
    word, starts = np.array([*range(VOCABULARY), 0, 0]), np.arange(0, 2 * VOCABULARY + 5, 2)
    forms = Forms(word, starts, np.arange(starts[-1]) % 5, 0, np.full(len(word), 0.2))
    return Encoder(model, VOCABULARY, 1, config.bidirectional, 5, forms, pairs)


def check_run(lm: LanguageModel, dtype: str = "float64", tolerance: float | None = None) -> list[Row]:
    """A row for each parameter of a trained model, on a random sample of its entries and a random text."""
    refuse_count_based(lm.settings.model)
    rng = np.random.default_rng(0)
    P = Params(lm.P.shapes, lm.P.flat.astype(dtype))
    x, y = rng.integers(0, lm.model.V, (2, STEPS, BATCH))
    state = lm.model.start(BATCH, dtype)
    return check_parameters(lm.settings.model, lm.model, P, x, y, state, dtype, tolerance, entries=ENTRIES)


def check_parameters(
    of: str,
    model: Any,
    P: Params,
    x: np.ndarray,
    y: np.ndarray,
    state: Any,
    dtype: str,
    tolerance: float | None,
    dropout: bool = False,
    entries: int | None = None,
) -> list[Row]:
    """A row for each parameter: the backward passes of the model and of the output head against differences of the loss."""
    targets, n = y.reshape(-1), Batch(x, y, fresh=True).targets

    def loss_and_gradient(G: Params) -> float:
        rng = Philox(0) if dropout else None
        return model.step(P, x, targets, state, 1 / n, G, rng)[0] / n

    G = P.zeros_like()
    loss_and_gradient(G)
    scratch = P.zeros_like()
    values = {name: (P[name], G[name]) for name in P.shapes}
    return rows(of, values, lambda: loss_and_gradient(scratch), dtype, tolerance, entries)


def rows(
    of: str,
    values: dict[str, tuple[np.ndarray, np.ndarray]],
    loss: Callable[[], float],
    dtype: str,
    tolerance: float | None,
    entries: int | None = None,
) -> list[Row]:
    """A row for each name.  values: name -> (value, its gradient by backward); perturbed in place, one entry at a time."""
    tolerance, step = TOLERANCE[dtype] if tolerance is None else tolerance, EPSILON[dtype]
    numeric = {name: differences(value, loss, step, entries, central_difference) for name, (value, _) in values.items()}
    largest = {name: float(np.max(np.abs(list(by_entry.values())))) for name, by_entry in numeric.items()}
    overall = max(largest.values())
    out = []
    for name, (value, gradient) in values.items():
        scale = max(largest[name], 1e-3 * overall, 1e-300)
        error = largest_error(gradient, numeric[name], value.shape) / scale
        if not error <= tolerance:  # the difference may be inaccurate; a NaN fails too
            error = largest_error(gradient, differences(value, loss, step, entries, finer_difference), value.shape) / scale
        out.append(Row(of, name, value.shape, largest[name], error, error <= tolerance))
    return out


def largest_error(gradient: np.ndarray, numeric: dict[tuple, float], shape: tuple[int, ...]) -> float:
    """The largest |gradient - numeric| over the entries; infinite if the gradient does not have the shape of the value."""
    return float(np.max([abs(gradient[i] - d) for i, d in numeric.items()])) if gradient.shape == shape else float("inf")


def differences(
    value: np.ndarray, loss: Callable[[], float], step: float, entries: int | None, difference: Difference
) -> dict[tuple, float]:
    """index -> numeric dL/dvalue[index], for every entry or for a random sample of `entries`."""
    indices = list(np.ndindex(value.shape))
    if entries is not None and entries < len(indices):
        indices = [indices[i] for i in np.random.default_rng(0).choice(len(indices), entries, replace=False)]
    return {i: difference(value, i, loss, step) for i in indices}


def central_difference(value: np.ndarray, i: tuple, loss: Callable[[], float], h: float) -> float:
    """D(h) = (L(value[i] + h) - L(value[i] - h)) / 2h, with h as rounded in value's dtype; its error is O(h²)."""
    original = value[i]
    value[i] = original + h
    above, right = loss(), float(value[i])
    value[i] = original - h
    below, left = loss(), float(value[i])
    value[i] = original
    return (above - below) / (right - left)


def finer_difference(value: np.ndarray, i: tuple, loss: Callable[[], float], h: float) -> float:
    """(4 D(h/2) - D(h)) / 3, with error O(h⁴) (Richardson 1911).

    For strongly curved L, as in a normalization of numbers near zero.
    """
    near, far = (central_difference(value, i, loss, step) for step in (h / 2, h))
    return (4 * near - far) / 3


def as_tuple(y: Any) -> tuple:
    return y if isinstance(y, tuple) else (y,)


def find_pair(name: str) -> Pair:
    """The pair with this name.  Raises InputError for an unknown one."""
    pairs = all_pairs()
    if name not in pairs:
        raise InputError(f"unknown layer {name!r}{suggest(name, sorted(pairs))}")
    return pairs[name]


def check(
    model: str | None = None,
    layer: str | None = None,
    run: Path | None = None,
    dtype: str = "float64",
    tolerance: float | None = None,
    task: str | None = None,
) -> Iterator[Row]:
    """The rows of the given model, pair, run or task's head on that model; of all pairs, models and heads if none is given.

    Raises InputError for an unknown name.
    """
    if dtype not in EPSILON:
        raise InputError(f"unknown dtype {dtype!r}{suggest(dtype, sorted(EPSILON))}")
    if run is not None:
        yield from check_run(LanguageModel.load(run), dtype, tolerance)
    if task is not None:
        if task not in labelled_tasks():
            raise InputError(f"unknown task {task!r}{suggest(task, labelled_tasks())}")
        for name in [model] if model else neural_names():
            yield from check_head(task, name, dtype, tolerance)
    elif model is not None:
        yield from check_model(model, dtype, tolerance)
    if layer is not None:
        yield from check_pair(find_pair(layer), dtype, tolerance)
    if run is model is layer is task is None:
        for pair in all_pairs().values():
            yield from check_pair(pair, dtype, tolerance)
        for name in neural_names():
            yield from check_model(name, dtype, tolerance)
        for task in labelled_tasks():
            yield from check_head(task, "rnn", dtype, tolerance)
