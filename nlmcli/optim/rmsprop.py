"""s ← β₂ s + (1 - β₂) g²;  θ ← θ - η g / (√s + ε): AdaGrad that forgets, so that it never stops learning."""

import math
from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base import Optimizer


@dataclass(frozen=True)
class Config:
    beta2: float = 0.99
    epsilon: float = 1e-8


class RMSProp(Optimizer):
    """s ← β₂ s + (1 - β₂) g²;  θ ← θ - η g / (√s + ε).  Tieleman & Hinton 2012; ε stands outside the root."""

    Config = Config
    lr = 1e-3
    remembers = ("s",)

    def step(self, theta, g, scale, lr, t):
        c, number = self.config, theta.dtype.type
        update(theta, g, self.memory["s"], number(scale), number(lr), number(c.beta2), number(c.epsilon))


@kernel
def update(theta, g, s, scale, lr, beta2, epsilon):
    for i in range(theta.size):
        gi = scale * g[i]
        s[i] += (1 - beta2) * (gi * gi - s[i])
        theta[i] -= lr * gi / (math.sqrt(s[i]) + epsilon)
