"""The learning rate where none is given.

η = η_optimizer · c · (1000 / S)^p · min(1, 4 / E)      S steps, E epochs; c, p and whether E counts are the model's

The longer a run, the smaller the rate that ends lowest; and for the models that overfit it is smaller still where a short text
is read many times. The constants were fitted to a grid of runs: tests/benchmarks/regret.py.
"""

from nlmcli.engine.run.settings import Settings
from nlmcli.models import MODELS
from nlmcli.optim import OPTIMIZERS

STEPS, EPOCHS = 1000, 4
TIMED_STEPS = 3000  # what --minutes is taken for, whose steps are not known before


def default_rate(settings: Settings, steps: int | None, steps_per_epoch: int) -> float:
    """The learning rate for a run of that many steps; None: as many as its minutes allow."""
    model, optimizer = MODELS.get(settings.model), OPTIMIZERS.get(settings.optimizer)
    steps = steps or TIMED_STEPS
    rate = optimizer.lr * model.lr_scale * (STEPS / steps) ** model.lr_power
    if model.overfits:
        rate *= min(1.0, EPOCHS * steps_per_epoch / steps)
    return float(f"{rate:.2g}")
