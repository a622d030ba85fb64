"""A worker of a sweep: it takes one trial after the other, trains it as nlm train would, and tells what came out."""

import math
import time
from pathlib import Path
from typing import Any

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.ownership import release
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.sweep.study import COMPLETE, FAILED, MOST_DEATHS, PRUNED, RESUMED, RUNNING, Study
from nlmcli.engine.training.count import Counting
from nlmcli.engine.training.metrics import read_rows
from nlmcli.engine.training.records import Evaluated, Finished
from nlmcli.engine.training.resume import resumed_settings
from nlmcli.engine.training.train import Training
from nlmcli.errors import InputError
from nlmcli.models import MODELS

WAIT_SECONDS = 1.0  # before a worker looks again whether one of the others has died


class Worker:
    """Set `stop` to True to end after the current step; the trial is then left for the next worker."""

    def __init__(self, study: Study, threads: int):
        self.study, self.threads, self.stop = study, threads, False
        self.run: Any = None

    def work(self, only: int | None = None) -> None:
        """Run trials until none is left that this folder holds.  only: the number of the one trial to run"""
        while not self.stop:
            trial = self.study.take(only)
            if trial is not None:
                self.train(trial)
            elif only is not None or not self.others_are_running():
                return
            else:
                time.sleep(WAIT_SECONDS)

    def others_are_running(self) -> bool:
        """Whether trials of this folder run elsewhere, which somebody must take if they are left."""
        return any(each.state == RUNNING and self.study.trial_lock(each.number).exists() for each in self.study.trials())

    def interrupt(self) -> None:
        """End after the current step."""
        self.stop = True
        if self.run is not None:
            self.run.stop = True

    def train(self, trial: Any) -> None:
        """Run a trial, from its last checkpoint if there is one, and tell its result."""
        folder = self.study.trial_folder(trial.number)
        try:
            settings = self.study.space.settings(self.study.point(trial))
            step = step_of(folder)
            if not self.study.count_start(trial, step):
                raise InputError(f"its worker died {MOST_DEATHS} times after step {step:,}")
            self.run = begun(settings, folder, self.threads)
            state = self.follow(trial)
            if state is not None:
                self.study.tell(trial, state, *self.result())
        except (InputError, MemoryError) as error:
            self.study.tell(trial, FAILED, None, reason=str(error) or "out of memory")
        finally:
            release(self.study.trial_lock(trial.number))

    def follow(self, trial: Any) -> str | None:
        """Run to the end.  -> the state of the trial; None if it was interrupted"""
        pruned = False
        for record in self.run.run():
            self.run.stop |= self.stop
            if isinstance(record, Evaluated):
                losses = evaluations(self.run.folder)
                pruned = self.study.report(trial, losses) or pruned
                self.run.stop |= pruned
            if isinstance(record, Finished):
                if record.diverged:
                    raise InputError("training diverged")
                if record.interrupted and not pruned:
                    trial.set_user_attr(RESUMED, [])
                    return None
                self.study.report(trial, evaluations(self.run.folder))
        return PRUNED if pruned and record.interrupted else COMPLETE

    def result(self) -> tuple[float | None, float | None]:
        """The loss of the best evaluation, in the unit of the sweep, and the seconds of the run.

        Raises InputError if it was never evaluated.
        """
        about = self.run.lm.about  # as it was saved last
        loss = about["bits_per_character"] if self.study.space.measure() == "bits per character" else about.get("best")
        if loss is None:
            raise InputError("it has no validation loss to compare by; raise valid-fraction, or give valid and eval-every")
        return loss, about["seconds"]


def begun(settings: Settings, folder: Path, threads: int) -> Any:
    """The run of a trial: new, or resumed from its last checkpoint."""
    resumable = (folder / "last.npz").exists()
    if not MODELS.get(settings.model).neural:
        if resumable:  # counting cannot go on; it starts again
            (folder / "last.npz").unlink()
        return Counting(settings, folder, threads)
    return Training(resumed_settings(folder, {}), folder, threads, is_resumed=True) if resumable else Training(settings, folder, threads)


def step_of(folder: Path) -> int:
    """The step of the last checkpoint of a trial; 0 before the first."""
    path = folder / "last.npz"
    return checkpoint.description(path).get("step", 0) if path.exists() else 0


def evaluations(folder: Path) -> list[tuple[int, float]]:
    """(step, loss) of every evaluation of a run, as it recorded them."""
    rows = read_rows(folder / "metrics.csv")
    losses = [(int(row["step"]), float(row["valid_loss"])) for row in rows if row.get("valid_loss")]
    return [(step, loss) for step, loss in losses if math.isfinite(loss)]
