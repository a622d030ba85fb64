"""The records that a training run yields."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Labelled:
    """What a run on labelled texts learns from.  floor: the accuracy, or the squared error, of always giving the same answer."""

    task: str
    files: tuple[str, ...]  # each with its format
    train: int  # examples
    held_out: int
    labels: tuple[tuple[str, int], ...]  # with their counts in the training part, the commonest first; empty for numbers
    mean: float
    deviation: float
    duplicates: int  # held-out texts that stand in the training part too
    cut: int  # texts that are too long to be read whole
    unseen: tuple[str, ...] = ()  # labels of the held-out part that the training part does not have


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
    labelled: Labelled | None = None
    clusters: tuple[tuple[int, float], ...] = ()  # of an adaptive softmax: words and share of the tokens, the shortlist first
    vectors: int | None = None  # types whose embedding came from a file
    emulated: bool = False  # whether the run is in bf16 on a CPU without it


@dataclass(frozen=True)
class Compiled:
    """The kernels are compiled.  seconds: close to 0 if they came from the cache.  step_seconds: measured duration of a step.

    bf16: how many times as fast a step in bf16 was; None if it was not tried.
    """

    seconds: float
    step_seconds: float | None = None
    bf16: float | None = None


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
    """An evaluation on the held-out text.  train_loss: mean since the previous evaluation.  waited: evaluations since the best one.

    figure: name and value of the task's own figure, such as its accuracy; None of a language model.
    """

    step: int
    train_loss: float
    valid_loss: float
    best: bool
    sample: str
    waited: int = 0
    figure: tuple[str, float] | None = None


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
    figure: tuple[str, float] | None = None  # name and value of the task's own figure at the best evaluation


Record = Started | Compiled | Stepped | Evaluated | RolledBack | Finished
