"""The distribution that the next token is sampled from.

p_i = softmax(z / temperature)_i, set to 0 where a filter removes token i, then normalized
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.nn.activations import softmax
from nlmcli.nn.draw import draw_each
from nlmcli.options import option, option_fields

TEMPERATURE = "Sampling temperature: below 1 more conservative, above 1 more varied; 0: greedy."
TOP_P = "Nucleus sampling: sample from the smallest set of tokens whose total probability reaches P."
MIN_P = "Min-p sampling: sample from tokens at least P times as probable as the most probable one."
HUGE = 1e300  # the largest penalized logit
REPETITION_PENALTY = "Repetition penalty: above 1, tokens that already occur in the text become less probable."


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.  temperature 1: the model's distribution; below 1: sharper; 0 or greedy: the most probable token.

    repetition_penalty r: the logits of tokens that already occur in the text are divided by r if positive and multiplied by
    r if negative (Keskar et al. 2019).
    """

    temperature: float = option(1.0, TEMPERATURE, "X", least=0)
    top_k: int | None = option(None, "Top-k sampling: sample from the K most probable tokens.", "K", least=1)
    top_p: float | None = option(None, TOP_P, "P", above=0, most=1)
    min_p: float | None = option(None, MIN_P, "P", above=0, most=1)
    greedy: bool = option(False, "Greedy decoding: always take the most probable token.")
    repetition_penalty: float = option(1.0, REPETITION_PENALTY, "R", above=0)

    def check(self) -> None:
        """Raises InputError for a value out of range."""
        for name, each in option_fields(Sampling).items():
            each.option.check(name, each.value(getattr(self, name)))

    @property
    def is_plain(self) -> bool:
        """Whether tokens are sampled from the model's own distribution."""
        return not (self.is_greedy or self.has_filter) and self.temperature == 1 and self.repetition_penalty == 1

    @property
    def has_filter(self) -> bool:
        """Whether some tokens may be left out."""
        return not (self.top_k is None and self.top_p is None and self.min_p is None)

    def draw(self, z: np.ndarray, seen: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Tokens (B,) of these probabilities, drawn with u (B,) in [0, 1).  z (B,V) logits, which may be overwritten, seen (B,V)"""
        if self.is_greedy or self.has_filter or self.repetition_penalty != 1:
            p = self.probabilities(z, seen)
            cumulative = p.cumsum(1)
            return (cumulative <= u[:, None] * cumulative[:, -1:]).sum(1)
        drawn = np.empty(len(z), np.int64)
        draw_each(z, self.temperature, u, drawn)
        return drawn

    @property
    def is_greedy(self) -> bool:
        return self.greedy or self.temperature == 0

    def probabilities(self, z: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
        """The distribution to sample from.  z (B,V) logits, seen (B,V): tokens already in the text -> p (B,V) float64, rows sum to 1."""
        z = z.astype(np.float64)
        with np.errstate(over="ignore"):  # however small a temperature or penalty is, what it makes of a logit stays finite
            if seen is not None and self.repetition_penalty != 1:
                penalized = np.where(z > 0, z / self.repetition_penalty, z * self.repetition_penalty)
                z = np.where(seen & np.isfinite(z), np.clip(penalized, -HUGE, HUGE), z)
            if self.is_greedy:
                return np.eye(z.shape[1])[z.argmax(1)]
            p, _ = softmax((z - z.max(1, keepdims=True)) / self.temperature)
        if self.top_k is not None:
            p = keep_most_probable(p, np.arange(p.shape[1]) < self.top_k)
        if self.top_p is not None:
            ordered = -np.sort(-p, axis=1)
            p = keep_most_probable(p, ordered.cumsum(1) - ordered < self.top_p)
        if self.min_p is not None:
            p = np.where(p >= self.min_p * p.max(1, keepdims=True), p, 0)
        return p / p.sum(1, keepdims=True)


def keep_most_probable(p: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """p (B,V) with the k-th most probable entry set to 0 unless keep[..., k]; ties in the order of their ids."""
    order = np.argsort(-p, axis=1, kind="stable")
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.take_along_axis(p, order, 1) * keep, 1)
    return kept
