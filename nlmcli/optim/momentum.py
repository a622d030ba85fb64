"""change(t) = β η g + (1 - β) change(t-1), change(1) = η g;  θ ← θ - change: a ball that keeps some of its velocity."""

from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base.optimizer import ALL, Optimizer
from nlmcli.options import ADVANCED, option


@dataclass(frozen=True)
class Config:
    beta: float = option(0.1, "β: weight of the newest gradient in the moving average.", "X", panel=ADVANCED, least=0, below=1)


class Momentum(Optimizer):
    """change(t) = β η g + (1 - β) change(t-1): the moving average of steps, so η means the same as in sgd.

    Polyak 1964 writes change(t) = η g + μ change(t-1): the same with μ = 1 - β and β times the learning rate.
    """

    Config = Config
    lr = 0.2
    state_names = ("change",)

    def step(self, theta, g, scale, lr, t, part=ALL):
        beta = self.config.beta if t > 1 else 1.0
        number = theta.dtype.type
        update(theta[part], g[part], self.memory["change"][part], number(beta * lr * scale), number(1 - beta))


@kernel
def update(theta, g, change, rate, mu):
    for i in range(theta.size):
        change[i] = rate * g[i] + mu * change[i]
        theta[i] -= change[i]
