"""Adam: momentum and RMSProp together, both corrected for starting at zero.

    m ← β₁ m + (1 - β₁) g;   v ← β₂ v + (1 - β₂) g²;   θ ← θ - η m̂ / (√v̂ + ε),   m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)
"""

import math
from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base import Optimizer


@dataclass(frozen=True)
class Config:
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


class Adam(Optimizer):
    """θ ← θ - η m̂ / (√v̂ + ε).  Kingma & Ba 2015, with the root, ε and bias correction that slides drop."""

    Config = Config
    lr = 2e-3
    remembers = ("m", "v")

    def step(self, theta, g, scale, lr, t):
        c, number = self.config, theta.dtype.type
        rate, root = lr / (1 - c.beta1**t), 1 / math.sqrt(1 - c.beta2**t)
        constants = (scale, rate, root, c.beta1, c.beta2, c.epsilon)
        update(theta, g, self.memory["m"], self.memory["v"], *(number(c) for c in constants))


@kernel
def update(theta, g, m, v, scale, rate, root, beta1, beta2, epsilon):
    for i in range(theta.size):
        gi = scale * g[i]
        m[i] += (1 - beta1) * (gi - m[i])
        v[i] += (1 - beta2) * (gi * gi - v[i])
        theta[i] -= rate * m[i] / (math.sqrt(v[i]) * root + epsilon)
