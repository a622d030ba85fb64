"""What a checkpoint keeps of a run, so that it can go on as if it had never stopped.

Everything random is drawn from the seed and the number of the step, and a batch is a function of that number: so parameters,
the optimizer's memory, the states carried from batch to batch, the learning rate and a few counts are all there is.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlmcli.engine import checkpoint
from nlmcli.engine.settings import LENGTHS, Settings, option
from nlmcli.errors import InputError

if TYPE_CHECKING:
    from nlmcli.engine.train import Training

COUNTS = ("step", "since", "best", "waited", "stepping", "evaluating", "valid_loss", "bits", "seconds", "troubles")
FREE = ("eval_every", "patience")  # what may be another on the way, besides the length


def progress_of(run: "Training") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name, and numbers, beside the parameters."""
    arrays = {f"optimizer.{name}": memory for name, memory in run.optimizer.memory.items()}
    for shard, state in enumerate(run.states):
        arrays |= {f"state.{shard}.{k}": memory for k, memory in enumerate(state)}
    arrays["losses"] = np.array(run.losses, np.float64)
    counts = {name: getattr(run, name) for name in COUNTS} | {"best": run.best if math.isfinite(run.best) else None}
    return arrays, counts | {"peak": run.schedule.peak, "pending": len(run.metrics.losses)}


def restore(run: "Training", arrays: dict[str, np.ndarray], about: dict[str, Any]) -> int:
    """Set a run to what a checkpoint kept.  -> how many losses wait for their row in metrics.csv.

    Raises InputError where the checkpoint is another run's, or of another text.
    """
    if about["tokenizer"] != run.lm.tokenizer.to_dict():
        raise InputError("the corpus, or the tokenizer's file, is not the one this run began with; --resume needs the same")
    for name, value in run.lm.P.items():
        value[...] = arrays[name]
    for name, memory in run.optimizer.memory.items():
        memory[...] = arrays[f"optimizer.{name}"]
    shards = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("state.")})
    run.states = [tuple(arrays[name].copy() for name in names_of(arrays, shard)) for shard in shards]
    counts = dict(about["progress"])
    run.schedule.peak, pending = counts.pop("peak"), counts.pop("pending")
    for name, value in counts.items():
        setattr(run, name, value)
    run.best = math.inf if run.best is None else run.best
    run.losses = arrays["losses"].tolist()
    return int(pending)


def names_of(arrays: dict[str, np.ndarray], shard: int) -> list[str]:
    """The names of the arrays of one shard's state, in order."""
    prefix = f"state.{shard}."
    return sorted((name for name in arrays if name.startswith(prefix)), key=lambda name: int(name.removeprefix(prefix)))


def settings_of(folder: Path, given: dict[str, Any]) -> Settings:
    """The settings of the run in a folder, longer if `given` says so.  Raises InputError for another value of anything else."""
    _, about = checkpoint.load(folder / "last.npz")
    if "progress" not in about:
        raise InputError(f"{folder} holds nothing to go on with: model {about.get('model')} is not trained step by step")
    saved = Settings.from_dict(about["settings"])
    length = {name: value for name, value in given.items() if name in LENGTHS}
    free = {name: value for name, value in given.items() if name in FREE}
    differ = [name for name, value in given.items() if name not in {*LENGTHS, *FREE} and value != getattr(saved, name)]
    if differ:
        told = " and ".join(f"{option(name)} {shown(given[name])} (the run's is {shown(getattr(saved, name))})" for name in differ)
        raise InputError(f"--resume goes on with the options the run has; leave out {told}")
    values = {**vars(saved), **free}
    if length:
        values |= dict.fromkeys(LENGTHS) | length
    return Settings(**values)


def shown(value: Any) -> str:
    """A setting as it is typed."""
    if value in (None, ()):
        return "the default"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
