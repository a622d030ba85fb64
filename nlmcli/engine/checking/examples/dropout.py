"""Inverted dropout: y = h · mask / (1 - p); the gradient flows through the kept units alone; E[y] = h."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from nlmcli.engine.checking.examples.base.numeric import Line, slope
from nlmcli.nn.dropout import RepeatingPhilox, dropout, dropout_backward

H, P = np.array([0.6, -0.3, 0.9, -0.4]), 0.5
DY = np.array([1.0, 0.5, -1.0, 2.0])
SEED = 1


def masks() -> Iterator[tuple[float, np.ndarray]]:
    """All 2⁴ masks of zeros and ones, each with its probability pᵈ (1 - p)ᵏ, d dropped and k kept units."""
    for mask in product([0, 1], repeat=H.size):
        kept = sum(mask)
        yield P ** (H.size - kept) * (1 - P) ** kept, np.array(mask)


def expectation(values: Iterator[tuple[float, np.ndarray]]) -> np.ndarray:
    """Σ probability · value."""
    return np.sum([probability * value for probability, value in values], axis=0)


def lines() -> list[Line]:
    """y = h · mask / (1 - p) for four units and p = ½: the layer, its gradient, its expectation, evaluation."""
    y, keep = dropout(H, P, RepeatingPhilox(SEED))
    mask = (keep > 0).astype(int)
    (dh,) = dropout_backward(DY, keep)
    mean = expectation((q, H * m / (1 - P)) for q, m in masks())
    variance = expectation((q, (H * m / (1 - P) - mean) ** 2) for q, m in masks())

    def loss(h):
        return float((DY * dropout(h, P, RepeatingPhilox(SEED))[0]).sum())

    return [
        ("Training: each unit is dropped with probability p = 0.5", None, None),
        ("h", H, None),
        ("mask, drawn once; 0: dropped", mask, None),
        ("y = h mask / (1 - p)", y, None),
        ("dL/dy, given", DY, None),
        ("L = sum of dL/dy y over the units", loss(H), None),
        ("dL/dh = dL/dy mask / (1 - p)", dh, slope(loss, H)),
        ("Over all 16 masks, each with its probability, 1/16", None, None),
        ("E[h mask], without 1 / (1 - p)", expectation((q, H * m) for q, m in masks()), None),
        ("E[y], equal to h", mean, None),
        ("standard deviation of y", np.sqrt(variance), None),
        ("Evaluation: no mask and no factor, since E[y] = h", None, None),
        ("y", dropout(H, P, None)[0], None),
    ]
