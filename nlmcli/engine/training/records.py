"""The records that a training run yields."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """Before the first step: the run and its sizes."""

    run: Path
    model: str
    parameters: int
    vocabulary: int
    train_tokens: int
    valid_tokens: int
    unknown_rate: float
    steps: int | None  # None: as many as the time allows
    tokens_per_step: int
    threads: int
    lr: float
    prompt: str  # words of the text, to generate from after training
    memory: int | None = None  # bytes of parameters, gradients and optimizer state
    memory_free: int | None = None  # available bytes; None if the system does not report it
    resumed: int | None = None  # the step from which a run is resumed


@dataclass(frozen=True)
class Compiled:
    """The kernels are compiled.  seconds: close to 0 if they came from the cache.  step_seconds: measured duration of a step."""

    seconds: float
    step_seconds: float | None = None


@dataclass(frozen=True)
class Stepped:
    """A training step.  loss: nats per token of its batch, before the update."""

    step: int
    epoch: float
    loss: float
    lr: float
    gradient_norm: float
    tokens_per_second: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Evaluated:
    """An evaluation on the held-out text.  train_loss: mean since the previous evaluation.  waited: evaluations since the best one."""

    step: int
    train_loss: float
    valid_loss: float
    best: bool
    sample: str
    waited: int = 0


@dataclass(frozen=True)
class RolledBack:
    """The loss was not finite or far worse than guessing: the run returned to its last checkpoint, with half the learning rate."""

    step: int
    loss: float
    back_to: int
    lr: float


@dataclass(frozen=True)
class Finished:
    """The result of a run, as `nlm train --json` prints it."""

    run: str
    model: str
    parameters: int
    steps: int
    train_loss: float
    valid_loss: float | None
    perplexity: float | None
    floor_perplexity: float | None
    tokens_per_second: float
    seconds: float
    compile_seconds: float
    peak_memory_bytes: int | None
    interrupted: bool
    diverged: bool = False


Record = Started | Compiled | Stepped | Evaluated | RolledBack | Finished
