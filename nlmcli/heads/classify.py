"""Classification of a text: which of L labels.

x = 1/n Σ_t h_t, the mean over its steps;   of a pair x = [u; v; |u - v|; u v], of the means u and v of its texts
p = softmax(x W + b), L = -ln p[label];   two labels: ŷ = σ(x w + b), L = -y ln ŷ - (1-y) ln(1-ŷ)
"""

from dataclasses import dataclass

from nlmcli.heads.base import classifier, head
from nlmcli.heads.base.classifier import Classifier
from nlmcli.heads.base.pool import pool, pool_backward
from nlmcli.options import option

POSITIVE = "Of two labels, the one that precision, recall and F1 are about."


@dataclass(frozen=True)
class Config(classifier.Config):
    bigrams: bool | None = option(None, head.BIGRAMS, default_text="on for single texts and additive")
    positive: str | None = option(None, POSITIVE, "LABEL", default_text="the rarer one")


class Classify(Classifier):
    """P(label | text)."""

    Config = Config
    defaults = head.DEFAULTS | {"model": "additive"}

    def head_shapes(self):
        kind = self.config.classifier or ("tanh" if self.paired else "linear")
        return self.classifier_shapes(4 * self.F if self.paired else self.F, kind)

    def loss(self, P, h, lengths, y, scale, G, rng):
        x, cache = pool(h, lengths, self.paired)
        x, keep = self.drop(x, rng)
        total, dx = self.classify(P, x, y, scale, G)
        return total, pool_backward(self.drop_backward(dx, keep), cache)

    def answers(self, P, h, lengths, read):
        return self.probabilities(P, pool(h, lengths, self.paired)[0])

    def draw(self, P, x, targets, state, rng, u):
        h, lengths, _ = self.encoder.forward(P, self.columns(x), rng)
        return self.sampled(self.answers(P, h, lengths, x), u)
