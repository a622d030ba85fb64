"""The file of a sweep: options that are fixed, options that vary, and how the points to try are chosen.

corpus: poems.txt
model: lstm
steps: 1000
hidden: [64, 128]                             # a list of values
lr: {from: 0.0003, to: 0.01, log: true}       # a range
seed: [1, 2, 3]                               # every point is tried with each seed
method: random                                # grid, random or tpe
trials: 24
prune: true

Trial n is a function of the file and of n alone, whoever runs it: in a grid the n-th combination, the last option varying
fastest; at random a draw from the n-th stream of `method-seed`.  With tpe (Bergstra et al. 2011) it depends on earlier losses.
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.run.config import read_yaml
from nlmcli.engine.run.settings import COMMAND_OPTIONS, Settings, options, options_of
from nlmcli.engine.training.initial import OF_TOKENIZER, with_init
from nlmcli.errors import InputError, suggest
from nlmcli.options import OptionField, long_name

METHODS = ("grid", "random", "tpe")
OF_SWEEP = ("method", "trials", "prune", "method-seed")
OF_RANGE = ("from", "to", "log", "step")
REDUCTION = 3  # one of so many trials goes on at each rung, unless `prune` says otherwise
MOST_TRIALS = 100_000
DIGITS = 4  # significant ones of numbers drawn at random


@dataclass(frozen=True)
class Values:
    """An option that takes one of several values."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        return self.values[rng.integers(len(self.values))]

    def suggest(self, trial: Any, name: str) -> Any:
        return trial.suggest_categorical(name, self.values)


@dataclass(frozen=True)
class Range:
    """An option that takes a number between two bounds, which belong to it; log: its logarithm is drawn evenly."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def draw(self, rng: np.random.Generator) -> Any:
        u = rng.random()
        if self.step:
            steps = int(u * (1 + int((self.high - self.low) / self.step + 1e-9)))
            return type(self.low)(f"{self.low + self.step * steps:.12g}")  # 0.3, not 0.1 + 0.2
        if isinstance(self.low, int):
            low, high = (math.log(self.low), math.log(self.high + 1)) if self.log else (self.low, self.high + 1)
            return min(self.high, int(math.exp(low + u * (high - low)) if self.log else low + u * (high - low)))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        x = low + u * (high - low)
        return min(self.high, max(self.low, float(f"{math.exp(x) if self.log else x:.{DIGITS}g}")))

    def suggest(self, trial: Any, name: str) -> Any:
        suggest_number = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return suggest_number(name, self.low, self.high, log=self.log, **({"step": self.step} if self.step else {}))


@dataclass(frozen=True)
class Space:
    """What a sweep tries.  fixed, varied: options by field name; source: the file, for messages."""

    source: Path
    fixed: dict[str, Any]
    varied: dict[str, Values | Range]
    method: str
    trials: int
    reduction: int | None  # of successive halving; None: nothing is pruned
    method_seed: int

    def point(self, n: int) -> dict[str, Any]:
        """The varied options of trial n, by field name.  method: grid or random"""
        seeds = self.seeds()
        if self.method == "grid":
            sizes = [len(each.values) for each in self.varied.values() if isinstance(each, Values)]
            at = np.unravel_index(n, sizes)
            return {name: each.values[k] for (name, each), k in zip(self.varied.items(), at, strict=True)}  # type: ignore[union-attr]
        rng = np.random.default_rng([self.method_seed, n // len(seeds)])
        drawn = {name: each.draw(rng) for name, each in self.varied.items() if name != "seed"}
        return drawn | ({"seed": seeds[n % len(seeds)]} if "seed" in self.varied else {})

    def seeds(self) -> tuple[Any, ...]:
        """The seeds that each point is tried with; one if `seed` does not vary."""
        varied = self.varied.get("seed")
        return varied.values if isinstance(varied, Values) else (None,)

    def settings(self, point: dict[str, Any]) -> Settings:
        """The settings of a run.  Raises InputError for options that do not go together."""
        settings = Settings.of(**with_init(self.fixed | point))
        settings.check()
        return settings

    def measure(self) -> str:
        """What the sweep minimizes: nats per token, or bits per character if the tokens differ from trial to trial."""
        return "bits per character" if set(OF_TOKENIZER) & set(self.varied) else "nats per token"

    def definition(self) -> dict[str, Any]:
        """The sweep as JSON types, by which a study is known to be this sweep's."""
        described = {long_name(name): repr(each) for name, each in self.varied.items()}
        fixed = {long_name(name): repr(value) for name, value in self.fixed.items()}
        return {"fixed": fixed, "varied": described, "method": self.method, "prune": self.reduction, "method-seed": self.method_seed}


def read_space(path: Path) -> Space:
    """The sweep in a YAML file.  Raises InputError if it is not one."""
    given = read_yaml(path)
    try:
        return space_of(path, given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def space_of(path: Path, given: dict[str, Any]) -> Space:
    known = {long_name(name): each for name, each in options().items()}
    fixed, varied = dict[str, Any](), dict[str, Values | Range]()
    for name, value in given.items():
        if name in OF_SWEEP:
            continue
        if name in COMMAND_OPTIONS or name not in known:
            hint = "; it is not a setting of a run" if name in COMMAND_OPTIONS else suggest(str(name), [*known, *OF_SWEEP])
            raise InputError(f"unknown option {name!r}{hint}")
        option = known[name]
        if isinstance(value, dict):
            varied[option.name] = range_of(option, value)
        elif isinstance(value, list) and option.kind is not tuple:
            varied[option.name] = values_of(option, value)
        else:
            fixed |= options_of({name: value})
    method = given.get("method", "grid")
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}{suggest(str(method), METHODS)}")
    if not varied:
        raise InputError("no option varies; give one a list of values, as in lr: [0.001, 0.003], or a range, {from: 0.001, to: 0.01}")
    if isinstance(varied.get("seed"), Range) or (method == "tpe" and "seed" in varied):
        raise InputError("seed is not searched; give a list of seeds, and method: grid or random, to try every point with each of them")
    prune = given.get("prune", False)
    reduction = (REDUCTION if prune else None) if isinstance(prune, bool) else prune
    if reduction is not None and not (isinstance(reduction, int) and reduction >= 2):
        raise InputError(f"prune must be true, or a whole number from 2 on, one in how many trials goes on; not {prune!r}")
    if reduction and set(OF_TOKENIZER) & set(varied):
        raise InputError("prune compares losses per token, and the tokens differ from trial to trial; leave out prune")
    method_seed = whole(given, "method-seed", 1, 0)
    return Space(path, fixed, varied, method, trials_of(given, varied, method), reduction, method_seed)


def trials_of(given: dict[str, Any], varied: dict[str, Values | Range], method: str) -> int:
    """The number of trials: of a grid that of its combinations."""
    if method != "grid":
        if "trials" not in given:
            raise InputError(f"method: {method} needs the number of trials, as in trials: 24")
        return whole(given, "trials", 1, 1)
    for name, each in varied.items():
        if isinstance(each, Range):
            raise InputError(f"{long_name(name)} is a range, and a grid needs a list of values; or give method: random or tpe, and trials")
    trials = math.prod(len(each.values) for each in varied.values() if isinstance(each, Values))
    if given.get("trials", trials) != trials:
        raise InputError(f"a grid tries every combination, which are {trials:,} trials; leave out trials, or give method: random")
    if trials > MOST_TRIALS:
        raise InputError(f"the grid has {trials:,} combinations; at most {MOST_TRIALS:,} can be tried")
    return trials


def whole(given: dict[str, Any], name: str, default: int, least: int) -> int:
    """A whole number of the sweep itself."""
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_TRIALS:
        raise InputError(f"{name} must be a whole number from {least} to {MOST_TRIALS:,}, not {value!r}")
    return value


def values_of(option: OptionField, given: list[Any]) -> Values:
    """A list of values, each of the option's type."""
    values = tuple(option.value(value) for value in given)
    if not values:
        raise InputError(f"{long_name(option.name)} has an empty list of values")
    for value in values:
        option.option.check(option.name, value)
    if len(set(values)) < len(values):
        raise InputError(f"{long_name(option.name)} has the same value twice: {given}")
    return Values(values)


def range_of(option: OptionField, given: dict[str, Any]) -> Range:
    """A range of numbers, both bounds allowed for the option."""
    name = long_name(option.name)
    if option.kind not in (int, float):
        raise InputError(f"{name} is no number and has no range; give a list of values")
    if not {"from", "to"} <= set(given) <= set(OF_RANGE):
        raise InputError(f"the range of {name} must have from and to, and may have log or step; as in {{from: 0.001, to: 0.01, log: true}}")
    low, high = (option.value(given[bound]) for bound in ("from", "to"))
    for bound in (low, high):
        option.option.check(option.name, bound)
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool) or (step is not None and (option.kind(step) != step or step <= 0)):
        raise InputError(f"in the range of {name}, log must be true or false, and step a number above 0")
    if not low < high or (log and (low <= 0 or step)):
        raise InputError(f"the range of {name} must rise, and with log begin above 0 and have no step")
    return Range(low, high, log, step)


def points(space: Space) -> list[dict[str, Any]]:
    """All points of a grid, or of a random sweep, in the order of the trials."""
    return [space.point(n) for n in range(space.trials)]


def check_points(space: Space) -> None:
    """Raises InputError for the first point whose options do not go together; of tpe, for a corner of the space."""
    if space.method == "tpe":
        ends = [each.values if isinstance(each, Values) else (each.low, each.high) for each in space.varied.values()]
        corners = itertools.islice(itertools.product(*ends), 1000)
        tried = [dict(zip(space.varied, corner, strict=True)) for corner in corners]
    else:
        tried = points(space)[:1000]
    for point in tried:
        try:
            space.settings(point)
        except InputError as error:
            raise InputError(f"{space.source}: {shown(point)}: {error}") from None


def shown(point: dict[str, Any]) -> str:
    """A point in words: "lr 0.001, hidden 64"."""
    return ", ".join(f"{long_name(name)} {short(value)}" for name, value in point.items())


def short(value: Any) -> str:
    """A value of an option, in a table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
