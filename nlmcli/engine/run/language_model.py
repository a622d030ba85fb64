"""A trained model with everything needed to use it: parameters, tokenizer, settings; the contents of a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.ownership import RUNS
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.models import MODELS
from nlmcli.models.base import Model, State
from nlmcli.nn.params import Params
from nlmcli.text import tokenizers
from nlmcli.text.tokenizer import Tokenizer


@dataclass
class LanguageModel:
    """Model, parameters, tokenizer, and the settings of the run.  about: its counters."""

    model: Model
    P: Params
    tokenizer: Tokenizer
    settings: Settings
    about: dict[str, Any]

    def save(self, path: Path, more: dict[str, np.ndarray] | None = None) -> None:
        """Write a checkpoint.  more: further arrays (optimizer state, model state)."""
        about = {
            "model": self.settings.model,
            "settings": self.settings.to_dict(),
            "tokenizer": self.tokenizer.to_dict(),
            **self.about,
        }
        checkpoint.save(path, dict(self.P.items()) | (more or {}), about)

    @classmethod
    def load(cls, path: Path) -> "LanguageModel":
        """Load a checkpoint, or the best one in a run's folder.  Raises InputError if it is missing or damaged."""
        file = checkpoint_of(path)
        try:
            lm = cls.read(file)
        except checkpoint.Damaged as error:
            raise InputError(f"{error}; {recovery_hint(file)}") from None
        if path.is_dir() and file.name == "last.npz" and lm.about.get("best") is not None:
            raise InputError(f"{path / 'best.npz'} is missing; the last checkpoint is intact: --run {file}")
        return lm

    @classmethod
    def read(cls, file: Path) -> "LanguageModel":
        """Load this checkpoint file.  Raises InputError if it is missing or of another format, Damaged if it is invalid."""
        arrays, about = checkpoint.load(file)
        if not isinstance(about.get("settings"), dict) or "tokenizer" not in about:
            raise checkpoint.Damaged(f"{file} is not a valid nlm checkpoint (it has no settings or no tokenizer)")
        settings = Settings.from_dict(about.pop("settings"))
        tokenizer = tokenizers.from_dict(about.pop("tokenizer"))
        model = build(settings, tokenizer)
        try:
            P = model.restore(arrays)
        except InputError as error:
            raise checkpoint.Damaged(f"{file} has {error}; it is not a valid checkpoint of model {settings.model}") from None
        return cls(model, P, tokenizer, settings, about)

    def start(self, batch: int) -> State:
        """The initial state, before the first token of each of `batch` texts."""
        return self.model.start(batch, self.P.flat.dtype)

    def score(self, x: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """nll (N,) and rank (N,) of the N targets that are not padding, by time step, and the state after x.  x, targets (T,B).

        The rank is the position in the order in which greedy decoding and `--probs` choose: equals by their ids, without <unk>.
        """
        return self.model.score(self.P, x, targets, state, self.excluded)

    @property
    def excluded(self) -> int:
        """The id of <unk>, which is never generated; -1 if the tokenizer has none."""
        return -1 if self.tokenizer.unknown is None else self.tokenizer.unknown


def recovery_hint(damaged: Path) -> str:
    """What the user can do about a damaged checkpoint; the run's other one is never loaded instead of it."""
    other = damaged.with_name("last.npz" if damaged.name == "best.npz" else "best.npz")
    try:
        LanguageModel.read(other)
    except InputError:
        return "train the model again"
    return f"the run's other checkpoint is intact: --run {other}"


def build(settings: Settings, tokenizer: Tokenizer) -> Model:
    """The untrained model of the settings, for this vocabulary."""
    Architecture = MODELS.get(settings.model)
    return Architecture(settings.model_config(), len(tokenizer), tokenizer.newline)


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
