"""All that decides a run, by the long names of the options. Same settings, same text, same bits; only --minutes goes by the clock."""

import contextlib
import math
import reprlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from nlmcli import models, optim
from nlmcli.errors import InputError, suggest
from nlmcli.optim import schedule

WAYS = ("stream", "line")
MOST = 10**15  # of whatever is counted: beyond it, arithmetic itself fails


@dataclass(frozen=True)
class Settings:
    """The options of `nlm train`. None: the default of the model, the optimizer or the tokenizer."""

    corpus: tuple[str, ...] = ()  # none: the corpus that ships with nlm
    valid: str | None = None
    valid_fraction: float = 0.1
    by: str = "stream"
    encoding: str = "utf-8"

    tokenizer: str = "word"
    vocab_size: int | None = None
    min_count: int | None = None
    lowercase: bool = False

    model: str = "rnn"
    embed: int | None = None
    hidden: int | None = None
    layers: int | None = None
    heads: int | None = None
    context: int | None = None
    add_k: float | None = None
    tie: bool | None = None
    dropout: float | None = None

    batch_size: int = 32
    seq_len: int = 64
    optimizer: str = "adam"
    lr: float | None = None
    beta: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    epsilon: float | None = None
    weight_decay: float | None = None
    schedule: str = "cosine"
    warmup: int = 0
    clip: float = 1.0
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    eval_every: int | None = None
    patience: int | None = None
    seed: int = 1

    def check(self) -> None:
        """Raises InputError for the first value that cannot be meant."""
        if self.by not in WAYS:
            raise InputError(f"unknown way to read {self.by!r}{suggest(self.by, list(WAYS))}")
        schedule.decay_of(self.schedule)
        for name in ("batch_size", "seq_len", "embed", "hidden", "layers", "heads", "context", "steps", "patience"):
            at_least(name, getattr(self, name), 1)
        for name in ("warmup", "clip", "eval_every", "seed", "epsilon", "weight_decay", "add_k"):
            at_least(name, getattr(self, name), 0)
        for name in ("lr", "epochs", "minutes"):
            if (value := finite(name, getattr(self, name))) is not None and not value > 0:
                raise InputError(f"{option(name)} {value} is too small; give a number above 0")
        for name in ("dropout", "valid_fraction", "beta", "beta1", "beta2"):
            if (value := finite(name, getattr(self, name))) is not None and not 0 <= value < 1:
                raise InputError(f"{option(name)} {value} is out of range; give a number from 0 up to, but not, 1")
        lengths = [option(name) for name in ("steps", "epochs", "minutes") if getattr(self, name) is not None]
        if len(lengths) > 1:
            raise InputError(f"{' and '.join(lengths)} each say how long to train; give one of them")
        self.model_config(), self.optimizer_config()
        if not models.model_class(self.model).neural:
            self.check_counting()

    def check_counting(self) -> None:
        """Raises InputError for an option of a training in steps, where the model only counts.  One at its default is not noticed."""
        for field in fields(self):
            if field.name in TRAINING_OPTIONS and getattr(self, field.name) != field.default:
                has = ", ".join(option(f.name) for f in fields(self.model_config()))
                raise InputError(f"model {self.model} counts, and has no {option(field.name)}; its options: {has}")

    def model_config(self) -> Any:
        """The model's Config.  Raises InputError for an option that this model does not have."""
        return chosen(self, models.model_class(self.model).Config, MODEL_OPTIONS, f"model {self.model}")

    def optimizer_config(self) -> Any:
        """The optimizer's Config.  Raises InputError for an option that this optimizer does not have."""
        return chosen(self, optim.optimizer_class(self.optimizer).Config, OPTIMIZER_OPTIONS, f"optimizer {self.optimizer}")

    def to_dict(self) -> dict[str, Any]:
        """By the long names of the options, those left to a default dropped."""
        return {name.replace("_", "-"): list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items() if v not in (None, ())}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> "Settings":
        """Settings by the long names of the options.  Raises InputError for a name there is not, or a value of another kind."""
        return cls(**options_of(given))


MODEL_OPTIONS = ("embed", "hidden", "layers", "heads", "context", "add_k", "tie", "dropout")
OPTIMIZER_OPTIONS = ("beta", "beta1", "beta2", "epsilon", "weight_decay")
STEP_OPTIONS = (
    *("batch_size", "seq_len", "optimizer", "lr", "schedule", "warmup", "clip", "epochs", "steps", "minutes"),
    *("eval_every", "patience"),
)
TRAINING_OPTIONS = (*OPTIMIZER_OPTIONS, *STEP_OPTIONS)  # of a model that learns in steps


LENGTHS = {"steps", "epochs", "minutes"}  # three ways to say how long to train
COMMAND = ("config", "debug", "json", "out", "preset", "presets", "quiet", "resume", "threads")  # options that decide no bit
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of texts"}


def options_of(given: dict[str, Any]) -> dict[str, Any]:
    """Options by the names of their fields, from their long names.

    Raises InputError for a name there is not, or a value of another kind.
    """
    hints, known = get_type_hints(Settings), {field.name.replace("_", "-"): field.name for field in fields(Settings)}
    for name in given:
        if name in COMMAND:
            raise InputError(f"option {name!r} is not kept with a run's; give it on the command line: --{name}")
        if name not in known:
            raise InputError(f"unknown option {name!r}{suggest(str(name), known)}")
    return {known[name]: of_kind(name, value, hints[known[name]]) for name, value in given.items()}


def of_kind(name: str, value: Any, hint: Any) -> Any:
    """The value, as a field of this type holds it.  Raises InputError where it cannot."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (get_origin(hint) or hint,)
    kind = kinds[0]
    if value is None and NoneType in kinds:
        return None
    if kind is tuple and isinstance(value, str | list | tuple):
        return (value,) if isinstance(value, str) else tuple(of_kind(name, each, str) for each in value)
    if kind is float and not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return float(value)  # YAML takes 1e-3 for a text
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise InputError(f"option {name!r} is {reprlib.repr(value)}, which is not {KINDS[kind]}")


def read_options(path: Path) -> dict[str, Any]:
    """The options in a YAML file, by the names of their fields.  Raises InputError where the file holds no such thing."""
    try:
        given = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date of a thirteenth month
        raise InputError(f"{path} is no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(given, dict):
        raise InputError(f"{path} holds no options; write one a line, as in: hidden: 128")
    try:
        return options_of(given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def option(name: str) -> str:
    """The name as it is typed."""
    return "--" + name.replace("_", "-")


def finite(name: str, value: float | None, most: float = MOST) -> float | None:
    """The value.  Raises InputError where it is infinite, none at all, or too large."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{option(name)} {value} is not a {'' if math.isnan(value) else 'finite '}number")
    if value is not None and value > most:
        raise InputError(f"{option(name)} {reprlib.repr(value)} is too large; give {most:,} or less")
    return value


def at_least(name: str, value: float | None, least: float, most: float = MOST) -> None:
    """Raises InputError where the value is none from `least` to `most`."""
    if (given := finite(name, value, most)) is not None and not given >= least:
        raise InputError(f"{option(name)} {value} is too small; give {least} or more")


def chosen(settings: Settings, Config: Any, names: tuple[str, ...], owner: str) -> Any:
    """A Config from the options that were given.  Raises InputError for one that it has no field for."""
    has = [field.name for field in fields(Config) if field.name in names]
    given = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    for name in given:
        if name not in has:
            there = ", ".join(map(option, has)) or "none"
            raise InputError(f"{owner} has no {option(name)}; its options: {there}")
    return Config(**given)
