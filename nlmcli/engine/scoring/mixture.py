"""A mixture of two language models: p = (1 - w) p_1 + w p_2, linear interpolation (Jelinek & Mercer 1980)."""

import math
from typing import Any

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.errors import InputError
from nlmcli.nn.cross_entropy import blocks
from nlmcli.nn.elementary import exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.precision import products_in
from nlmcli.nn.rank import rank_of

BISECTIONS = 40  # of the interval that contains the best weight


class Mixture:
    """Two language models with the interface that evaluation needs. The state is the pair of their states."""

    def __init__(self, first: LanguageModel, second: LanguageModel, weight: float, name: str = "", fitted: bool = False):
        """weight, name: of the second model; fitted: whether the weight was optimized rather than given.

        Raises InputError if the two do not predict the same tokens, or for a weight out of range.
        """
        check_compatible(first, second)
        if not 0 <= weight <= 1:
            raise InputError(f"a weight of {weight} is out of range; give a number from 0 to 1")
        self.first, self.second, self.weight, self.name, self.fitted = first, second, weight, name, fitted
        self.tokenizer, self.settings, self.about = first.tokenizer, first.settings, first.about

    def start(self, batch: int) -> Any:
        return self.first.start(batch), self.second.start(batch)

    def score(self, x: np.ndarray, targets: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """nll and rank of the targets that are not padding, in order of time steps, and the states after x.  x, targets (T,B)"""
        pair, real = (self.first, self.second), targets >= 0
        outputs = []
        for lm, before in zip(pair, state, strict=True):
            with products_in(lm.settings.precision):
                outputs.append(lm.model.forward(lm.P, x, before))
        h, y = [output[0][real] for output in outputs], targets[real]
        log_p, rank = np.empty((2, len(y))), np.empty(len(y), np.int32)
        for rows in blocks(len(y), len(self.tokenizer)):
            z = []
            for lm, hidden in zip(pair, h, strict=True):
                with products_in(lm.settings.precision):
                    z.append(lm.model.logits(lm.P, hidden[rows]))
            mix(*z, self.weight, y[rows], self.first.excluded, log_p[:, rows], rank[rows])
        nll = -np.logaddexp(log_p[0] + log_weight(1 - self.weight), log_p[1] + log_weight(self.weight))
        return nll, rank, tuple(output[1] for output in outputs)


def check_compatible(first: LanguageModel, second: LanguageModel) -> None:
    """Raises InputError unless the two models have the same tokens and read a text in the same way."""
    if first.tokenizer.rules() != second.tokenizer.rules():
        names = [f"{lm.tokenizer.name} of {len(lm.tokenizer):,} types" for lm in (first, second)]
        raise InputError(
            f"the two runs do not have the same tokenizer ({names[0]}; {names[1]}); train both on the same text with the same options"
        )
    if first.settings.by != second.settings.by:
        raise InputError(f"one run reads by {first.settings.by}, the other by {second.settings.by}; train both with the same --by")


def log_weight(weight: float) -> float:
    """ln w, -∞ for w = 0."""
    return math.log(weight) if weight > 0 else -math.inf


def best_weight(first_nll: np.ndarray, second_nll: np.ndarray) -> float:
    """The weight w of the second model that maximizes Σ ln((1 - w) p_1 + w p_2).  nll of the same tokens by each model (N,)

    The derivative Σ (p_2 - p_1) / ((1 - w) p_1 + w p_2) decreases with w: its root is found by bisection.
    """
    with np.errstate(invalid="ignore"):  # tokens that are impossible under both do not count
        ratio = np.nan_to_num(np.exp(np.clip(first_nll.astype(float) - second_nll, -700, 700)), nan=1.0)
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        w = (low + high) / 2
        slope = ((ratio - 1) / (1 + w * (ratio - 1))).sum()
        low, high = (w, high) if slope > 0 else (low, w)
    return (low + high) / 2


@kernel
def mix(z1, z2, weight, targets, excluded, log_p, rank):
    """log_p[0], log_p[1]: ln p of each target under each model; rank: under the mixture, without the token `excluded`.

    z1, z2 (N,V): the logits; overwritten, z1 by the mixture, z2 by its exponentials.  targets (N,) -> log_p (2,N), rank (N,)
    """
    for k in range(targets.size):
        p, q, target = z1[k], z2[k], targets[k]
        p_sum, q_sum = exponentiate(p, target, log_p[0], k), exponentiate(q, target, log_p[1], k)
        a, b = p.dtype.type((1 - weight) / p_sum), p.dtype.type(weight / q_sum)
        for w in range(p.size):
            p[w] = a * p[w] + b * q[w]
        rank[k] = rank_of(p, target, excluded)


@kernel
def exponentiate(row, target, log_p, k):
    """The row of logits becomes exp(row - max), log_p[k] the target's log-softmax.  -> the sum of the row"""
    row_max, target_logit = largest(row), row[target]
    for w in range(row.size):
        row[w] = exp(row[w] - row_max)
    s = total(row)
    log_p[k] = target_logit - row_max - math.log(s)
    return s
