"""Adam: momentum and RMSProp combined, both corrected for the bias of starting at zero.

m ← β₁ m + (1 - β₁) g;   v ← β₂ v + (1 - β₂) g²;   θ ← θ - η m̂ / (√v̂ + ε),   m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)
"""

import math
from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base import optimizer
from nlmcli.optim.base.optimizer import ALL, Optimizer


@dataclass(frozen=True)
class Config:
    beta1: float = optimizer.beta1(0.9)
    beta2: float = optimizer.beta2(0.999)
    epsilon: float = optimizer.epsilon(1e-8)


class Adam(Optimizer):
    """θ ← θ - η m̂ / (√v̂ + ε).  Kingma & Ba 2015, with the root, ε and bias correction that slides omit."""

    Config = Config
    lr = 1e-3
    state_names = ("m", "v")

    def step(self, theta, g, scale, lr, t, part=ALL):
        self.decay_and_step(theta, g, scale, lr, t, part, decay=1.0)

    def decay_and_step(self, theta, g, scale, lr, t, part, decay):
        """A step that first multiplies the decayed parts of θ by `decay`."""
        c, number = self.config, theta.dtype.type
        rate, root = lr / (1 - c.beta1**t), 1 / math.sqrt(1 - c.beta2**t)
        constants = [number(constant) for constant in (scale, rate, root, 1 - c.beta1, 1 - c.beta2, c.epsilon)]
        m, v = self.memory["m"], self.memory["v"]
        for piece, factor in self.decay_factors(part, decay):
            update(theta[piece], g[piece], m[piece], v[piece], number(factor), *constants)


@kernel
def update(theta, g, m, v, decay, scale, rate, root, new1, new2, epsilon):
    for i in range(theta.size):
        gi = scale * g[i]
        mi = m[i] + new1 * (gi - m[i])  # β m + (1 - β) g
        vi = v[i] + new2 * (gi * gi - v[i])
        m[i], v[i] = mi, vi
        theta[i] = decay * theta[i] - rate * mi / (math.sqrt(vi) * root + epsilon)
