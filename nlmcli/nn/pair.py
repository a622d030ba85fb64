"""Pairs of pure functions, forward and backward, registered by name so that one loop can check every derivative.

    forward(*inputs)     -> (y, cache)                      no object keeps any state
    backward(dy, cache)  -> one gradient per differentiable input, in order

`dX` is the gradient of the loss with respect to X and has X's shape; the prefix d means nothing else. Only float arrays
have a gradient; ids, targets, counts and rates have none.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Pair:
    """A forward function, its backward function, and example inputs to check one against the other."""

    name: str
    forward: Forward
    backward: Backward
    example: Callable[[np.random.Generator], tuple[Any, ...]]

    def input_names(self) -> list[str]:
        return list(inspect.signature(self.forward).parameters)


PAIRS: dict[str, Pair] = {}


def pair(forward: Forward, backward: Backward, example: Callable[[np.random.Generator], tuple[Any, ...]]) -> Pair:
    """Register a pair under the name of its forward function.  example(rng) returns a tuple of inputs in float64."""
    entry = Pair(forward.__name__, forward, backward, example)
    PAIRS[entry.name] = entry
    return entry


def is_differentiable(value: Any) -> bool:
    """Whether the value is an array of floats: only those have a gradient."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
