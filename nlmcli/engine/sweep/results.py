"""What came out of a sweep: its points, best first, and the options of the best one as a file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.sweep.space import Space, read_space
from nlmcli.engine.sweep.study import COMPLETE, FAILED, PRUNED, SPACE, Study, Trial
from nlmcli.errors import InputError

BEST = "best.yaml"
ADDRESS = "study"  # the file that holds the address of the study, if it is a database


@dataclass(frozen=True)
class Point:
    """The trials with the same options but for the seed."""

    options: dict[str, Any]
    trials: tuple[Trial, ...]

    @property
    def losses(self) -> list[float]:
        """Those of the complete trials."""
        return [each.loss for each in self.trials if each.state == COMPLETE and each.loss is not None]

    @property
    def loss(self) -> float:
        """Their mean; infinite if none is complete."""
        return mean(self.losses) if self.losses else math.inf

    @property
    def deviation(self) -> float | None:
        """Their standard deviation; None of fewer than two."""
        return stdev(self.losses) if len(self.losses) > 1 else None


def points_of(space: Space, trials: Sequence[Trial]) -> list[Point]:
    """The points of the trials that have begun, best first; those whose seeds are not all complete after the others."""
    grouped: dict[tuple[Any, ...], list[Trial]] = {}
    for each in trials:
        if len(each.options) == len(space.varied):
            grouped.setdefault(tuple(value for name, value in each.options.items() if name != "seed"), []).append(each)
    made = [Point({name: v for name, v in each[0].options.items() if name != "seed"}, tuple(each)) for each in grouped.values()]
    return sorted(made, key=lambda point: (len(point.losses) < len(space.seeds()), point.loss, point.trials[0].number))


def best_of(points: Sequence[Point]) -> Point | None:
    """The best of `points_of`; None if no trial is complete."""
    return points[0] if points and points[0].losses else None


def is_finished(trials: Sequence[Trial]) -> bool:
    return all(each.state in (COMPLETE, PRUNED, FAILED) for each in trials)


def write_best(study: Study, point: Point) -> Path:
    """Write the options of the best run, with which nlm train --config repeats it.  -> the file"""
    best = min((each for each in point.trials if each.state == COMPLETE), key=lambda each: each.number)
    path, config = study.folder / BEST, study.trial_folder(best.number) / "config.yaml"
    if not config.exists():
        raise InputError(f"the best run, trial {best.number}, is not in {study.folder}; it was trained on another machine")
    text = config.read_bytes()
    write_atomically(path, lambda file: file.write(text))
    return path


def is_sweep(folder: Path) -> bool:
    return (folder / SPACE).is_file()


def opened(folder: Path) -> Study:
    """The study of a sweep's folder."""
    address = (folder / ADDRESS).read_text(encoding="utf-8").strip() if (folder / ADDRESS).exists() else None
    return Study(read_space(folder / SPACE), folder, address)
