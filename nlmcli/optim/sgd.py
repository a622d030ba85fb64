"""θ ← θ - η g: gradient descent; stochastic with a batch of one, full-batch with the whole corpus as the batch."""

from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base.optimizer import ALL, Optimizer


@dataclass(frozen=True)
class Config:
    pass


class SGD(Optimizer):
    """θ ← θ - η g.  Robbins & Monro 1951."""

    Config = Config
    lr = 0.2

    def step(self, theta, g, scale, lr, t, part=ALL):
        update(theta[part], g[part], theta.dtype.type(lr * scale))


@kernel
def update(theta, g, rate):
    for i in range(theta.size):
        theta[i] -= rate * g[i]
