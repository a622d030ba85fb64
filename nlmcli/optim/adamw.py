"""Adam with decoupled weight decay, so that every weight shrinks at the same rate.

θ ← (1 - η λ) θ - η m̂ / (√v̂ + ε);   λ is 0 for biases and gains.          Loshchilov & Hutter 2019

Decay that is part of the gradient (L2 regularization), λ θ, is divided by √v̂ too: the larger a weight's gradients, the less it shrinks.
"""

from dataclasses import dataclass

from nlmcli.optim import adam
from nlmcli.optim.base import optimizer
from nlmcli.optim.base.optimizer import ALL


@dataclass(frozen=True)
class Config(adam.Config):
    weight_decay: float = optimizer.weight_decay(0.1)


class AdamW(adam.Adam):
    """θ ← (1 - η λ) θ - η m̂ / (√v̂ + ε), m and v as in Adam.  η is the current learning rate: the decay follows the schedule."""

    Config = Config

    def step(self, theta, g, scale, lr, t, part=ALL):
        self.decay_and_step(theta, g, scale, lr, t, part, decay=1 - lr * self.config.weight_decay)
