"""What a training run tells while it goes on."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """Before the first step: what will be done."""

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
    prompt: str  # words of the text to begin with, when it is done
    memory: int | None = None  # bytes that parameters, gradients and the optimizer's memory need
    memory_free: int | None = None  # bytes that there are; None: the system does not tell
    resumed: int | None = None  # the step after which an earlier run goes on


@dataclass(frozen=True)
class Compiled:
    """The kernels are there.  seconds: nearly none when they came from the cache.  step_seconds: what a step takes, as measured."""

    seconds: float
    step_seconds: float | None = None


@dataclass(frozen=True)
class Stepped:
    """A step was taken.  loss: nats per token of its batch, before the update."""

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
    """The held-out text was scored.  train_loss: mean since the evaluation before.  waited: evaluations since the best one."""

    step: int
    train_loss: float
    valid_loss: float
    best: bool
    sample: str
    waited: int = 0


@dataclass(frozen=True)
class RolledBack:
    """A loss that is no number, or far above that of guessing: the run went back to what it had saved, the rate was halved."""

    step: int
    loss: float
    back_to: int
    lr: float


@dataclass(frozen=True)
class Finished:
    """What `nlm train --json` prints."""

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
