"""Two language models as one: p = (1 - w) p_1 + w p_2, linear interpolation (Jelinek & Mercer 1980)."""

import math
from typing import Any

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.errors import InputError
from nlmcli.nn.cross_entropy import blocks
from nlmcli.nn.elementary import exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.rank import rank_of

HALVINGS = 40  # of the range in which the best weight lies


class Mixture:
    """What evaluation needs of a language model. Its state is that of the one and that of the other."""

    def __init__(self, one: LanguageModel, other: LanguageModel, weight: float, name: str = "", fitted: bool = False):
        """weight and name are the other's; fitted: the weight was found, not given.

        Raises InputError where the two do not predict the same tokens, or for a weight that is none.
        """
        check(one, other)
        if not 0 <= weight <= 1:
            raise InputError(f"a weight of {weight} is out of range; give a number from 0 to 1")
        self.one, self.other, self.weight, self.name, self.fitted = one, other, weight, name, fitted
        self.tokenizer, self.settings, self.about = one.tokenizer, one.settings, one.about

    def start(self, batch: int) -> Any:
        return self.one.start(batch), self.other.start(batch)

    def score(self, x: np.ndarray, targets: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """nll and rank of the targets that are not padding, step by step, and the states after x.  x, targets (T,B)."""
        pair, real = (self.one, self.other), targets >= 0
        read = [lm.model.forward(lm.P, x, before) for lm, before in zip(pair, state, strict=True)]
        h, y = [each[0][real] for each in read], targets[real]
        log_p, rank = np.empty((2, len(y))), np.empty(len(y), np.int32)
        for rows in blocks(len(y), len(self.tokenizer)):
            z = [lm.model.logits(lm.P, each[rows]) for lm, each in zip(pair, h, strict=True)]
            mix(*z, self.weight, y[rows], self.one.excluded, log_p[:, rows], rank[rows])
        nll = -np.logaddexp(log_p[0] + logarithm(1 - self.weight), log_p[1] + logarithm(self.weight))
        return nll, rank, tuple(each[1] for each in read)


def check(one: LanguageModel, other: LanguageModel) -> None:
    """Raises InputError where there is no token for token to mix."""
    if one.tokenizer.rules() != other.tokenizer.rules():
        names = [f"{lm.tokenizer.name} of {len(lm.tokenizer):,} types" for lm in (one, other)]
        raise InputError(
            f"the two runs do not have the same tokenizer ({names[0]}; {names[1]}); train both on the same text with the same options"
        )
    if one.settings.by != other.settings.by:
        raise InputError(f"one run reads by {one.settings.by}, the other by {other.settings.by}; train both with the same --by")


def logarithm(weight: float) -> float:
    return math.log(weight) if weight > 0 else -math.inf


def best_weight(nll: np.ndarray, other_nll: np.ndarray) -> float:
    """The weight of the other under which Σ ln((1 - w) p_1 + w p_2) is largest.  nll of the same tokens by each (N,).

    The slope Σ (p_2 - p_1) / ((1 - w) p_1 + w p_2) only falls with w: the range in which it is 0 is halved.
    """
    with np.errstate(invalid="ignore"):  # what neither thinks possible says nothing
        ratio = np.nan_to_num(np.exp(np.clip(nll.astype(float) - other_nll, -700, 700)), nan=1.0)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        w = (low + high) / 2
        slope = ((ratio - 1) / (1 + w * (ratio - 1))).sum()
        low, high = (w, high) if slope > 0 else (low, w)
    return (low + high) / 2


@kernel
def mix(z, other, weight, targets, excluded, log_p, rank):
    """log_p[0] and log_p[1]: ln p of each target by the one and by the other; rank: that of the mixture, without a token that is excluded.

    z, other (N,V): the logits of both; z becomes the mixture, other what is exp of it.  targets (N,) -> log_p (2,N), rank (N,)
    """
    for k in range(targets.size):
        p, q, target = z[k], other[k], targets[k]
        p_sum, q_sum = softmax_parts(p, target, log_p[0], k), softmax_parts(q, target, log_p[1], k)
        a, b = p.dtype.type((1 - weight) / p_sum), p.dtype.type(weight / q_sum)
        for w in range(p.size):
            p[w] = a * p[w] + b * q[w]
        rank[k] = rank_of(p, target, excluded)


@kernel
def softmax_parts(row, target, log_p, k):
    """row becomes exp(row - max), log_p[k] the logarithm of the target's part of the sum.  -> the sum"""
    top, at_target = largest(row), row[target]
    for w in range(row.size):
        row[w] = exp(row[w] - top)
    s = total(row)
    log_p[k] = at_target - top - math.log(s)
    return s
