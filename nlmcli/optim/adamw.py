"""Adam with weight decay apart from the gradient, so that every weight shrinks at the same rate.

θ ← (1 - η λ) θ - η m̂ / (√v̂ + ε);   λ is 0 for biases and gains.          Loshchilov & Hutter 2019

Decay that comes as part of the gradient, λ θ, is divided by √v̂ like all of it: the steeper a weight's loss, the less it shrinks.
"""

from dataclasses import dataclass

from nlmcli.optim import adam
from nlmcli.optim.base import optimizer
from nlmcli.optim.base.optimizer import ALL


@dataclass(frozen=True)
class Config(adam.Config):
    weight_decay: float = optimizer.weight_decay(0.1)


class AdamW(adam.Adam):
    """θ ← (1 - η λ) θ - η m̂ / (√v̂ + ε), m and v as Adam's.  η is the rate of the moment: decay follows the schedule."""

    Config = Config

    def step(self, theta, g, scale, lr, t, part=ALL):
        self.move(theta, g, scale, lr, t, part, kept=1 - lr * self.config.weight_decay)
