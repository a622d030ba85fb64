"""θ: all parameters of a model as one flat vector with named views."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nlmcli.errors import InputError

Shapes = dict[str, tuple[int, ...]]


def matrices(shapes: Shapes) -> list[str]:
    """The names of the parameters that weight decay shrinks: matrices and stacks of them (capital letters), no biases, no gains."""
    return [name for name, shape in shapes.items() if len(shape) > 1 and name[0].isupper()]


class Params:
    """A flat vector whose slices have the names used in the equations: `P.Wh` is a view of `P.flat`.

    Gradients are Params too: "dL/dθ has the same dimension as θ". Optimizers, clipping and gradcheck use `flat`;
    models use the names.

    shapes: name -> shape, in θ order.  flat (size,): the vector to view, or None for zeros of `dtype`.
    """

    def __init__(self, shapes: Shapes, flat: np.ndarray | None = None, dtype: Any = np.float32):
        self.shapes = shapes
        size = sum(math.prod(shape) for shape in shapes.values())
        self.flat = np.zeros(size, dtype) if flat is None else flat
        if self.flat.shape != (size,):
            raise ValueError(f"flat must have shape ({size},) for these parameters, not {self.flat.shape}")
        self.offsets, offset = {}, 0
        for name, shape in shapes.items():
            self.offsets[name] = offset
            end = offset + math.prod(shape)
            vars(self)[name] = self.flat[offset:end].reshape(shape)
            offset = end

    @classmethod
    def restored(cls, shapes: Shapes, arrays: dict[str, np.ndarray]) -> "Params":
        """Parameters from arrays by name.  Raises InputError, worded to follow "has", if they do not have these shapes."""
        for name, shape in shapes.items():
            if name not in arrays or arrays[name].shape != shape or arrays[name].dtype.kind != "f":
                raise InputError(f"no {name} of shape {shape}")
        return cls(shapes, np.concatenate([arrays[name].reshape(-1) for name in shapes]))

    def __getattr__(self, name: str) -> np.ndarray:  # only for names that __init__ did not set
        raise AttributeError(f"no parameter {name!r}; the parameters are {', '.join(self.shapes)}")

    def __getitem__(self, name: str) -> np.ndarray:
        return getattr(self, name)

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((name, getattr(self, name)) for name in self.shapes)

    def zeros_like(self) -> "Params":
        return Params(self.shapes, np.zeros_like(self.flat))

    def slices(self, names: Iterable[str]) -> list[slice]:
        """The slices of θ that hold these parameters, named in θ order; adjacent slices are merged."""
        merged: list[slice] = []
        for name in names:
            start = merged.pop().start if merged and merged[-1].stop == self.offsets[name] else self.offsets[name]
            merged.append(slice(start, self.offsets[name] + self[name].size))
        return merged

    def stacked(self, first: str, last: str) -> np.ndarray:
        """Consecutive matrices of equal width as one matrix: `stacked("W2", "W3")` is [W2; W3], a view without a copy."""
        names = list(self.shapes)
        names = names[names.index(first) : names.index(last) + 1]
        offset = self.offsets[first]
        width = self.shapes[first][-1]
        rows = sum(self.shapes[name][0] for name in names)
        return self.flat[offset : offset + rows * width].reshape(rows, width)


class Named:
    """Arrays by the names that a model knows them by, such as one half of the parameters of a bidirectional encoder."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        vars(self).update(arrays)

    def __getitem__(self, name: str) -> np.ndarray:
        return getattr(self, name)
