"""s ← β₂ s + (1 - β₂) g²;  θ ← θ - η g / (√s + ε): AdaGrad with a moving average, so that the steps do not shrink to zero."""

import math
from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base import optimizer
from nlmcli.optim.base.optimizer import ALL, Optimizer


@dataclass(frozen=True)
class Config:
    beta2: float = optimizer.beta2(0.99)
    epsilon: float = optimizer.epsilon(1e-8)


class RMSProp(Optimizer):
    """s ← β₂ s + (1 - β₂) g²;  θ ← θ - η g / (√s + ε).  Tieleman & Hinton 2012; ε is outside the root."""

    Config = Config
    lr = 5e-4
    state_names = ("s",)

    def step(self, theta, g, scale, lr, t, part=ALL):
        c, number = self.config, theta.dtype.type
        update(theta[part], g[part], self.memory["s"][part], number(scale), number(lr), number(1 - c.beta2), number(c.epsilon))


@kernel
def update(theta, g, s, scale, lr, weight, epsilon):
    for i in range(theta.size):
        gi = scale * g[i]
        si = s[i] + weight * (gi * gi - s[i])  # β s + (1 - β) g²
        s[i] = si
        theta[i] -= lr * gi / (math.sqrt(si) + epsilon)
