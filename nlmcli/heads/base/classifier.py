"""The classifier of texts and of words: which of L labels.

linear: a = x W + b;   tanh: a = tanh(x Wt + bt) W + b
L > 2: p = softmax(a), loss -ln p[label];   L = 2: ŷ = σ(a) of one logit, loss -y ln ŷ - (1-y) ln(1-ŷ)
with label smoothing ε: a target is its label with 1-ε, and every label with ε/L
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.heads.base import head
from nlmcli.nn.activations import softmax, tanh, tanh_backward
from nlmcli.nn.linear import linear, linear_backward
from nlmcli.nn.params import Params
from nlmcli.nn.sigmoid_cross_entropy import each_sigmoid_cross_entropy
from nlmcli.nn.smoothed_cross_entropy import each_smoothed_cross_entropy
from nlmcli.options import option

CLASSIFIERS = ("linear", "tanh")
CLASSIFIER = "The head: linear, x W + b, or tanh, tanh(x Wt + bt) W + b."
SMOOTHING = "Label smoothing ε: in training a target is its label with 1 - ε, and every label with ε / L."
BALANCE = "Every label weighs as much as another in the loss, however rare it is."


@dataclass(frozen=True)
class Config(head.Config):
    classifier: str | None = option(None, CLASSIFIER, "NAME", choices=lambda: CLASSIFIERS, default_text="linear; of pairs: tanh")
    label_smoothing: float = option(0.0, SMOOTHING, "X", least=0, below=1)
    balance: bool = option(False, BALANCE)


class Classifier(head.Head):
    """A head whose answers are labels. A subclass reads x (N, width) from h.  config.classifier: linear or tanh."""

    def classifier_shapes(self, width: int, kind: str) -> dict[str, tuple[int, ...]]:
        outputs = 1 if self.L == 2 else self.L
        hidden = {"Wt": (width, self.F), "bt": (self.F,)} if kind == "tanh" else {}
        return {**hidden, "W": (self.F if kind == "tanh" else width, outputs), "b": (outputs,)}

    def logits(self, P: Params, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """a (N, outputs), cache.  x (N, width)"""
        hidden = None
        if "Wt" in P.shapes:
            t, linear_cache = linear(x, P["Wt"], P["bt"])
            x, tanh_cache = tanh(t)
            hidden = linear_cache, tanh_cache
        a, cache = linear(x, P["W"], P["b"])
        return a, (hidden, cache)

    def logits_backward(self, da: np.ndarray, cache: Any, G: Params) -> np.ndarray:
        """Add the gradients of the parameters to G.  da (N, outputs) -> dx (N, width)"""
        hidden, linear_cache = cache
        dx, dW, db = linear_backward(da, linear_cache)
        add(G, W=dW, b=db)
        if hidden:
            dx, dWt, dbt = linear_backward(tanh_backward(dx, hidden[1])[0], hidden[0])
            add(G, Wt=dWt, bt=dbt)
        return dx

    def classify(self, P: Params, x: np.ndarray, y: np.ndarray, scale: float, G: Params) -> tuple[float, np.ndarray]:
        """The loss of labels y (N,), and dx for L = scale · Σ w[y] loss.  x (N, width) -> Σ w[y] loss, dx"""
        a, cache = self.logits(P, x)
        weights, epsilon = self.weights[y].astype(a.dtype), self.config.label_smoothing
        if self.L == 2:
            losses, da = each_sigmoid_cross_entropy(a[:, 0], (1 - epsilon) * y + epsilon / 2)
            da = da[:, None]
        else:
            losses, da = each_smoothed_cross_entropy(a, y, epsilon)
        dx = self.logits_backward(da * (a.dtype.type(scale) * weights)[:, None], cache, G)
        return float((losses * weights).sum(dtype=np.float64)), dx

    def probabilities(self, P: Params, x: np.ndarray) -> np.ndarray:
        """P(label) of each row.  x (N, width) -> (N,L)"""
        a, _ = self.logits(P, x)
        if self.L == 2:
            p = 1 / (1 + np.exp(-a.astype(np.float64)))
            return np.concatenate([1 - p, p], axis=1)
        return softmax(a)[0]

    def sampled(self, p: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The first label at which the sum of the probabilities exceeds u.  p (N,L), u (N,) in [0,1) -> (N,)"""
        cumulative = np.cumsum(p, axis=1)
        return np.minimum((cumulative <= (u * cumulative[:, -1])[:, None]).sum(1), self.L - 1)


def add(G: Params, **gradients: np.ndarray) -> None:
    """Add gradients to those of the parameters with these names."""
    for name, gradient in gradients.items():
        total = G[name]
        total += gradient
