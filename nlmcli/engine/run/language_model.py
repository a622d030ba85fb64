"""A trained model with all that is needed to use it: parameters, tokenizer, settings. What a checkpoint holds."""

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
    """Model, parameters, tokenizer and the settings they were made with.  about: counters of the run."""

    model: Model
    P: Params
    tokenizer: Tokenizer
    settings: Settings
    about: dict[str, Any]

    def save(self, path: Path, more: dict[str, np.ndarray] | None = None) -> None:
        """Write a checkpoint; more: arrays beside the parameters (optimizer, state)."""
        about = {
            "model": self.settings.model,
            "settings": self.settings.to_dict(),
            "tokenizer": self.tokenizer.to_dict(),
            **self.about,
        }
        checkpoint.save(path, dict(self.P.items()) | (more or {}), about)

    @classmethod
    def load(cls, path: Path) -> "LanguageModel":
        """Read a checkpoint, or the best one of a run's folder.  Raises InputError where there is none, or not a whole one."""
        file = checkpoint_of(path)
        try:
            lm = cls.read(file)
        except checkpoint.Damaged as error:
            raise InputError(f"{error}; {mend(file)}") from None
        if path.is_dir() and file.name == "last.npz" and lm.about.get("best") is not None:
            raise InputError(f"{path / 'best.npz'} is missing; the last checkpoint is whole: --run {file}")
        return lm

    @classmethod
    def read(cls, file: Path) -> "LanguageModel":
        """Read this checkpoint.  Raises InputError where it is none, Damaged where it is not whole."""
        arrays, about = checkpoint.load(file)
        if not isinstance(about.get("settings"), dict) or "tokenizer" not in about:
            raise checkpoint.Damaged(f"{file} is not a whole nlm checkpoint (it does not say what model it is)")
        settings = Settings.from_dict(about.pop("settings"))
        tokenizer = tokenizers.from_dict(about.pop("tokenizer"))
        model = build(settings, tokenizer)
        try:
            P = model.restore(arrays)
        except InputError as error:
            raise checkpoint.Damaged(f"{file} has {error}; it is not a whole checkpoint of model {settings.model}") from None
        return cls(model, P, tokenizer, settings, about)

    def start(self, batch: int) -> State:
        """The state before the first token of so many texts."""
        return self.model.start(batch, self.P.flat.dtype)

    def score(self, x: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """nll and rank of the targets that are not padding, step by step, and the state after x.  x, targets (T,B).

        The rank is that in which greedy decoding and `--probs` would choose: equals by their ids, <unk> left out.
        """
        return self.model.score(self.P, x, targets, state, self.excluded)

    @property
    def excluded(self) -> int:
        """The id of <unk>, which is never chosen; -1 where the tokenizer has none."""
        return -1 if self.tokenizer.unknown is None else self.tokenizer.unknown


def mend(damaged: Path) -> str:
    """What to do about a damaged checkpoint: its run's other one is never taken unasked."""
    other = damaged.with_name("last.npz" if damaged.name == "best.npz" else "best.npz")
    try:
        LanguageModel.read(other)
    except InputError:
        return "train the model again"
    return f"its run's other checkpoint is whole: --run {other}"


def build(settings: Settings, tokenizer: Tokenizer) -> Model:
    """The model that the settings name, for this vocabulary."""
    Architecture = MODELS.get(settings.model)
    return Architecture(settings.model_config(), len(tokenizer), tokenizer.newline)


def checkpoint_of(path: Path) -> Path:
    """best.npz of a run's folder, last.npz where no validation chose one; or the file itself."""
    if not path.is_dir():
        return path
    for name in ("best.npz", "last.npz"):
        if (path / name).exists():
            return path / name
    raise InputError(f"no checkpoint in {path}; train one with: nlm train --out {path}")


def newest_run(folder: Path = RUNS) -> Path:
    """The run under ./runs that was saved last.  Raises InputError where there is none."""
    runs = [path.parent for path in folder.glob("*/last.npz")]
    if not runs:
        raise InputError(f"no run under ./{folder}; train one with: nlm train")
    return max(runs, key=lambda run: (run / "last.npz").stat().st_mtime)
