"""Tagging: a label for each word.

p = softmax(tanh(h_t Wt + bt) W + b), L = -ln p[tag], where t is the last step of a word

The head drops nothing: h_t comes out of the dropout of the model.
"""

from dataclasses import dataclass

import numpy as np

from nlmcli.heads.base import classifier, head
from nlmcli.heads.base.classifier import CLASSIFIER, CLASSIFIERS, SMOOTHING, Classifier
from nlmcli.options import option


@dataclass(frozen=True)
class Config(classifier.Config):
    bidirectional: bool = option(True, head.BIDIRECTIONAL)
    classifier: str | None = option("tanh", CLASSIFIER, "NAME", choices=lambda: CLASSIFIERS)
    label_smoothing: float = option(0.1, SMOOTHING, "X", least=0, below=1)
    subwords: bool | None = option(None, head.SUBWORDS, default_text="on for word tokenizers")


class Tag(Classifier):
    """P(tag | text) of each word."""

    Config = Config
    pairs = False
    defaults = head.DEFAULTS | {"tokenizer": "whitespace", "min_count": 2, "batch_size": 16, "hidden": 128}

    def example_answers(self, rng, x):
        return np.where((x >= 0) & (np.arange(len(x))[:, None] > 0), rng.integers(0, self.L, x.shape), -1)

    def head_shapes(self):
        return self.classifier_shapes(self.F, self.config.classifier)

    def loss(self, P, h, lengths, y, scale, G, rng):
        real = (y >= 0).reshape(h.shape[:2])
        total, dx = self.classify(P, h[real], y[y >= 0], scale, G)
        dh = np.zeros_like(h)
        dh[real] = dx
        return total, dh

    def answers(self, P, h, lengths, read):
        """P(tag) of each word, text by text: (words, L)."""
        return self.probabilities(P, np.ascontiguousarray(h.swapaxes(0, 1)[read.T]))

    def draw(self, P, x, targets, state, rng, u):
        h, *_ = self.encoder.forward(P, x, rng)
        drawn = self.sampled(self.probabilities(P, h.reshape(-1, h.shape[2])), u)
        return np.where(targets >= 0, drawn, targets)
