"""The distribution that the next token is drawn from.

p_i = softmax(z / temperature)_i, kept only where every filter keeps it, and divided by what is left
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.engine.settings import finite
from nlmcli.errors import InputError
from nlmcli.nn.activations import softmax


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.  temperature 1: as the model says; below 1: surer; 0 or greedy: always the most probable.

    repetition_penalty r: the logits of tokens that stand in the text already are divided by r where they are positive and
    multiplied by r where they are negative (Keskar et al. 2019).
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    greedy: bool = False
    repetition_penalty: float = 1.0

    def check(self) -> None:
        """Raises InputError for a value out of range."""
        for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
            finite(name, getattr(self, name))
        if not self.temperature >= 0:
            raise InputError(f"--temperature {self.temperature} is out of range; give 0 or more")
        if not self.repetition_penalty > 0:
            raise InputError(f"--repetition-penalty {self.repetition_penalty} is out of range; give a number above 0")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"--top-k {self.top_k} is too small; give 1 or more")
        for name, value in (("top-p", self.top_p), ("min-p", self.min_p)):
            if value is not None and not 0 < value <= 1:
                raise InputError(f"--{name} {value} is out of range; give a number above 0, at most 1")

    def shape(self, z: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
        """The distribution that is drawn from.  z (B,V) logits, seen (B,V): in the text already -> p (B,V) float64, rows sum to 1."""
        z = z.astype(np.float64)
        if seen is not None and self.repetition_penalty != 1:
            z = np.where(seen, np.where(z > 0, z / self.repetition_penalty, z * self.repetition_penalty), z)
        if self.greedy or self.temperature == 0:
            return np.eye(z.shape[1])[z.argmax(1)]
        p, _ = softmax(z / self.temperature)
        if self.top_k is not None:
            p = keep_most_probable(p, np.arange(p.shape[1]) < self.top_k)
        if self.top_p is not None:
            ordered = -np.sort(-p, axis=1)
            p = keep_most_probable(p, ordered.cumsum(1) - ordered < self.top_p)
        if self.min_p is not None:
            p = np.where(p >= self.min_p * p.max(1, keepdims=True), p, 0)
        return p / p.sum(1, keepdims=True)


def keep_most_probable(p: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """p with only the k-th most probable entries kept where keep[..., k] holds; equals in the order of their ids."""
    order = np.argsort(-p, axis=1, kind="stable")
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.take_along_axis(p, order, 1) * keep, 1)
    return kept
