"""The default learning rate.

η = η_optimizer · c · (1000 / S)^p · min(1, 4 / E)      S steps, E epochs

c (`lr_scale`), p (`lr_power`) and whether the epochs matter (`overfits`) depend on the model: the longer the run, the lower the
best learning rate, and for models that overfit it is lower still when a short text is read many times. The constants were
fitted to a grid of runs: tests/benchmarks/regret.py. Of labelled texts, which are few and read many times, E does not count, and
S is at least 100: fewer steps cannot learn much, and the rate of a handful is too high for some heads.
"""

from nlmcli.engine.run.settings import Settings
from nlmcli.heads import HEADS
from nlmcli.models import MODELS
from nlmcli.optim import OPTIMIZERS

REFERENCE_STEPS, REFERENCE_EPOCHS = 1000, 4
LABELLED_STEPS = 100  # the least S of labelled texts


def default_rate(settings: Settings, steps: int, steps_per_epoch: int) -> float:
    """The learning rate of a run of that many steps, if none is given."""
    model, optimizer = MODELS.get(settings.model), OPTIMIZERS.get(settings.optimizer)
    task = HEADS.get(settings.task)
    steps = max(steps, LABELLED_STEPS) if task.labelled else steps
    rate = optimizer.lr * model.lr_scale * task.lr_scale * (REFERENCE_STEPS / steps) ** model.lr_power
    if model.overfits and not task.labelled:
        rate *= min(1.0, REFERENCE_EPOCHS * steps_per_epoch / steps)
    return float(f"{rate:.2g}")
