"""What every checkpoint holds, whatever the task: model, parameters, tokenizer and settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.ownership import RUNS
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.heads import HEADS
from nlmcli.nn.params import Params
from nlmcli.text import tokenizers
from nlmcli.text.tokenizer import Tokenizer

AVERAGE = "average"  # the array of a checkpoint that holds the average of the parameters, in θ order


@dataclass
class Saved:
    """Model, parameters, tokenizer, and the settings of the run.  about: its counters."""

    model: Any
    P: Params
    tokenizer: Tokenizer
    settings: Settings
    about: dict[str, Any]

    def save(self, path: Path, more: dict[str, np.ndarray] | None = None) -> None:
        """Write a checkpoint.  more: further arrays (optimizer state, model state)."""
        checkpoint.save(path, dict(self.P.items()) | (more or {}), self.described())

    def described(self) -> dict[str, Any]:
        """What a checkpoint holds besides arrays."""
        tokenizer = self.tokenizer.to_dict()
        return {"model": self.settings.model, "settings": self.settings.to_dict(), "tokenizer": tokenizer, **self.about}

    @classmethod
    def restored(cls, arrays: dict[str, np.ndarray], about: dict[str, Any], settings: Settings, tokenizer: Tokenizer) -> Self:
        """The inverse of `save`.  about: the rest of what the checkpoint holds.  Raises InputError, worded to follow "has"."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a checkpoint, or the best one in a run's folder.  Raises InputError if it is missing, damaged or of another task."""
        run = load(path)
        if not isinstance(run, cls):
            task = run.settings.task
            other = "generates text; use nlm generate, or nlm eval" if task == "generate" else "answers; use nlm predict, or nlm eval"
            raise InputError(f"{path} is a run of --task {task}, which {other}")
        return run

    @classmethod
    def read(cls, file: Path) -> Self:
        """Load this checkpoint file.  Raises InputError if it is missing or of another format, Damaged if it is invalid."""
        run = read(file)
        assert isinstance(run, cls)
        return run


def load(path: Path) -> Saved:
    """Load a checkpoint of any task, the best one in a run's folder, an ARPA file, or a folder of Hugging Face.

    Raises InputError if it is missing or damaged.
    """
    from nlmcli.engine.run.arpa import is_arpa, read_arpa
    from nlmcli.engine.run.hf_folder import is_folder, read_folder

    if is_arpa(path):
        return read_arpa(path)
    if is_folder(path):
        return read_folder(path)
    file = checkpoint_of(path)
    try:
        run = read(file)
    except checkpoint.Damaged as error:
        raise InputError(f"{error}; {recovery_hint(file)}") from None
    if path.is_dir() and file.name == "last.npz" and run.about.get("best") is not None:
        raise InputError(f"{path / 'best.npz'} is missing; the last checkpoint is intact: --run {file}")
    return run


def read(file: Path) -> Saved:
    """Load this checkpoint file.  Raises InputError if it is missing or of another format, Damaged if it is invalid."""
    from nlmcli.engine.run.language_model import LanguageModel
    from nlmcli.engine.run.task_model import TaskModel

    arrays, about = checkpoint.load(file)
    if not isinstance(about.get("settings"), dict) or "tokenizer" not in about:
        raise checkpoint.Damaged(f"{file} is not a valid nlm checkpoint (it has no settings or no tokenizer)")
    settings = Settings.from_dict(about.pop("settings"))
    tokenizer = tokenizers.from_dict(about.pop("tokenizer"))
    Kind: type[Saved] = TaskModel if HEADS.get(settings.task).labelled else LanguageModel
    try:
        run = Kind.restored(arrays, about, settings, tokenizer)
        if AVERAGE in arrays:  # what a run with --average is about; the last parameters are for resuming it
            run.P.flat[:] = arrays[AVERAGE]
        return run
    except (InputError, KeyError, TypeError, ValueError) as error:
        missing = error if isinstance(error, InputError) else "no valid labels"
        raise checkpoint.Damaged(f"{file} has {missing}; it is not a valid checkpoint of model {settings.model}") from None


def recovery_hint(damaged: Path) -> str:
    """What the user can do about a damaged checkpoint; the run's other one is never loaded instead of it."""
    other = damaged.with_name("last.npz" if damaged.name == "best.npz" else "best.npz")
    try:
        read(other)
    except InputError:
        return "train the model again"
    return f"the run's other checkpoint is intact: --run {other}"


def checkpoint_of(path: Path) -> Path:
    """best.npz in a run's folder, or last.npz if the run did not validate; a file itself.  Raises InputError if there is none."""
    if not path.is_dir():
        return path
    for name in ("best.npz", "last.npz"):
        if (path / name).exists():
            return path / name
    raise InputError(f"no checkpoint in {path}; train one with: nlm train --out {path}")


def newest_run(folder: Path = RUNS) -> Path:
    """The most recently saved run under ./runs.  Raises InputError if there is none."""
    runs = [path.parent for path in folder.glob("*/last.npz")]
    if not runs:
        raise InputError(f"no run under ./{folder}; train one with: nlm train")
    return max(runs, key=lambda run: (run / "last.npz").stat().st_mtime)
