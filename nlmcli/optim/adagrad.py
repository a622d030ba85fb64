"""s ← s + g²;  θ ← θ - η g / (√s + ε): the larger a parameter's past gradients, the smaller its steps."""

import math
from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base import optimizer
from nlmcli.optim.base.optimizer import ALL, Optimizer


@dataclass(frozen=True)
class Config:
    epsilon: float = optimizer.epsilon(1e-10)


class AdaGrad(Optimizer):
    """s ← s + g²;  θ ← θ - η g / (√s + ε).  Duchi, Hazan & Singer 2011, with the square root and ε that slides omit."""

    Config = Config
    lr = 5e-3
    state_names = ("s",)

    def step(self, theta, g, scale, lr, t, part=ALL):
        number = theta.dtype.type
        update(theta[part], g[part], self.memory["s"][part], number(scale), number(lr), number(self.config.epsilon))


@kernel
def update(theta, g, s, scale, lr, epsilon):
    for i in range(theta.size):
        gi = scale * g[i]
        si = s[i] + gi * gi
        s[i] = si
        theta[i] -= lr * gi / (math.sqrt(si) + epsilon)
