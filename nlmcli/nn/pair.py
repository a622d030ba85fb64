"""Mathematics as pairs of pure functions, listed by name so that one loop can check every derivative.

    forward(*inputs)     -> (y, cache)                      nothing is remembered on an object
    backward(dy, cache)  -> one gradient per input that has one, in order

`dX` is the derivative of the loss with respect to X and has X's shape; no other name starts so. Inputs that are
arrays of floats have a gradient; ids, targets, counts and rates have none.
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
    """A forward function, its backward function, and inputs on which to check one against the other."""

    name: str
    forward: Forward
    backward: Backward
    example: Callable[[np.random.Generator], tuple[Any, ...]]

    def input_names(self) -> list[str]:
        return list(inspect.signature(self.forward).parameters)


PAIRS: dict[str, Pair] = {}


def pair(forward: Forward, backward: Backward, example: Callable[[np.random.Generator], tuple[Any, ...]]) -> Pair:
    """Register a pair under the name of its forward function.  example(rng) gives one tuple of inputs, in float64."""
    made = Pair(forward.__name__, forward, backward, example)
    PAIRS[made.name] = made
    return made


def is_differentiable(value: Any) -> bool:
    """Only arrays of floats have a gradient."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
