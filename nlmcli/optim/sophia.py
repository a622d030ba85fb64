"""Sophia-G: steps divided by an estimate of the curvature, and clipped to η where that estimate is too small.

m ← β₁ m + (1 - β₁) g;   θ ← (1 - η λ) θ;   θ ← θ - η clip(m / max(γ h, ε), 1)
every k steps:   h ← β₂ h + (1 - β₂) n ĝ²                    Liu, Li, Hall, Liang & Ma 2023

ĝ is the gradient of the mean loss of n tokens whose targets are sampled from the model's own predictions. For such
targets each token's gradient is 0 in expectation, so the products of different ones vanish, and the expectation of n ĝ²
is the diagonal of the Gauss-Newton matrix (1/n) Σ Jᵀ (diag(p) - p pᵀ) J, J = dz/dθ, which is never negative.
"""

from dataclasses import dataclass

from nlmcli.nn.kernel import kernel
from nlmcli.optim.base import optimizer
from nlmcli.optim.base.optimizer import ALL, Optimizer
from nlmcli.options import ADVANCED, option


@dataclass(frozen=True)
class Config:
    beta1: float = optimizer.beta1(0.96)
    beta2: float = optimizer.beta2(0.99)
    epsilon: float = optimizer.epsilon(1e-12)
    weight_decay: float = optimizer.weight_decay(0.2)
    gamma: float = option(0.05, "γ: the larger, the fewer parameters have their steps clipped to η.", "X", panel=ADVANCED, above=0)
    curvature_every: int = option(10, "Steps between curvature estimates.", "N", panel=ADVANCED, least=1)


class Sophia(Optimizer):
    """θ ← (1 - η λ) θ - η clip(m / max(γ h, ε), 1), the paper's Algorithm 3 with its Gauss-Newton-Bartlett estimate."""

    Config = Config
    lr = 1e-3
    state_names = ("m", "h")

    def step(self, theta, g, scale, lr, t, part=ALL):
        c, number = self.config, theta.dtype.type
        constants = [number(constant) for constant in (scale, lr, 1 - c.beta1, c.gamma, c.epsilon)]
        m, h = self.memory["m"], self.memory["h"]
        for piece, factor in self.decay_factors(part, 1 - lr * c.weight_decay):
            update(theta[piece], g[piece], m[piece], h[piece], number(factor), *constants)

    def needs_curvature(self, t):
        return (t - 1) % self.config.curvature_every == 0

    def measure(self, g, n, part=ALL):
        number = g.dtype.type
        average(self.memory["h"][part], g[part], number(1 - self.config.beta2), number(n))


@kernel
def update(theta, g, m, h, decay, scale, lr, new1, gamma, epsilon):
    one = theta.dtype.type(1)
    for i in range(theta.size):
        mi = m[i] + new1 * (scale * g[i] - m[i])  # β m + (1 - β) g
        m[i] = mi
        theta[i] = decay * theta[i] - lr * min(max(mi / max(gamma * h[i], epsilon), -one), one)


@kernel
def average(h, g, new2, n):
    for i in range(h.size):
        h[i] += new2 * (n * g[i] * g[i] - h[i])  # β h + (1 - β) n g²
