"""A study: the trials of a sweep and their results, kept by Optuna, so that any number of processes and machines take part.

The study is a journal file in the sweep's folder, or a database. All trials exist from the beginning, waiting; a worker
makes one its own by setting it to running, which the storage grants to one process only, while it holds a lock of the
trial in the sweep's folder (see ownership.py). A trial that is running although nobody holds its lock was left by a worker
that died; the next worker resumes it.
"""

import contextlib
import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlmcli.engine.run.ownership import HELD, InUse, claim, release
from nlmcli.engine.sweep.space import Space
from nlmcli.errors import InputError
from nlmcli.options import long_name

JOURNAL = "study.log"
SPACE = "sweep.yaml"  # a copy of the sweep's file, in its folder
LOCKS = "locks"
DEFINITION, REASON, RESUMED, BITS, SECONDS, STEPS = "definition", "reason", "resumed", "bits", "seconds", "steps"
MOST_DEATHS = 5  # of workers, one after another at the same step of a trial, and the trial has failed
WAITING, RUNNING, COMPLETE, PRUNED, FAILED = "waiting", "running", "complete", "pruned", "failed"
BUSY_SECONDS = 60  # how long a database may keep a worker waiting


@dataclass(frozen=True)
class Trial:
    """A trial as the study knows it.  options: its point, by field name; losses: (step, loss) of every evaluation."""

    number: int
    state: str
    options: dict[str, Any] = field(default_factory=dict)
    loss: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    seconds: float | None = None
    reason: str | None = None  # why it failed


class Study:
    """The trials of a sweep in a folder."""

    def __init__(self, space: Space, folder: Path, address: str | None = None):
        """address: of a database, such as sqlite:///study.db; None: a journal file in the folder.

        Raises InputError if Optuna is missing, the database cannot be used, or the study is another sweep's.
        """
        self.optuna, self.space, self.folder = optuna(), space, folder
        self.storage = self.open_storage(address)
        self.name = folder.name
        with self.errors_of_storage(address):
            self.study = self.optuna.create_study(
                storage=self.storage, study_name=self.name, sampler=self.sampler(), pruner=self.pruner(), load_if_exists=True
            )
            self.check_definition()
            self.add_trials()

    def open_storage(self, address: str | None) -> Any:
        if address is None:
            from nlmcli.engine.sweep.journal import journal

            return journal(self.folder / JOURNAL)
        if "://" not in address:
            raise InputError(f"--study {address} is no address of a database, such as sqlite:///study.db or postgresql://host/name")
        with self.errors_of_storage(address):
            options = {"connect_args": {"timeout": BUSY_SECONDS}} if address.startswith("sqlite") else {"pool_pre_ping": True}
            return self.optuna.storages.RDBStorage(address, engine_kwargs=options)

    @contextlib.contextmanager
    def errors_of_storage(self, address: str | None) -> Any:
        """What a database says, in one sentence."""
        try:
            yield
        except ImportError as error:
            raise InputError(f"--study {address} needs the Python package {error.name}, which is not installed") from None
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:
            if address is None or not type(error).__module__.startswith(("sqlalchemy", "optuna")):
                raise
            raise InputError(f"cannot use the study at {address} ({str(error.__cause__ or error).strip().splitlines()[0]})") from None

    def close(self) -> None:
        """Close the connections to a database."""
        if hasattr(self.storage, "engine"):
            self.storage.remove_session()
            self.storage.engine.dispose()

    def check_definition(self) -> None:
        """Raises InputError if the study was made for other options."""
        mine = json.dumps(self.space.definition(), sort_keys=True)
        if DEFINITION not in self.study.user_attrs:
            self.study.set_user_attr(DEFINITION, mine)
        if self.study.user_attrs[DEFINITION] != mine:
            raise InputError(f"the study {self.name!r} belongs to another sweep than {self.space.source}; give another --out, or its file")

    def add_trials(self) -> None:
        """Make all trials exist. Of those that two processes add at once, the ones with the higher numbers are not used."""
        for _ in range(self.space.trials - len(self.study.get_trials(deepcopy=False))):
            self.study.add_trial(self.optuna.trial.create_trial(state=self.optuna.trial.TrialState.WAITING))

    def sampler(self) -> Any:
        """Who draws the points: the sweep's file, or TPE."""
        if self.space.method != "tpe":
            from nlmcli.engine.sweep.sampler import ByNumber

            return ByNumber(self.space)
        seed = self.space.method_seed + os.getpid()  # workers with the same seed would propose the same point
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def pruner(self) -> Any:
        if self.space.reduction is None:
            return self.optuna.pruners.NopPruner()
        return self.optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=self.space.reduction)

    def trial_folder(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.folder / f"{number:0{max(3, len(str(self.space.trials - 1)))}}"

    def trial_lock(self, number: int) -> Path:
        """The folder that the worker of a trial locks; it exists where the trial was begun."""
        return self.folder / LOCKS / str(number)

    def frozen(self) -> list[Any]:
        """The trials as Optuna keeps them."""
        return [each for each in self.study.get_trials(deepcopy=False) if each.number < self.space.trials]

    def take(self, only: int | None = None) -> Any | None:
        """A trial that is this process's own and locked: one that a dead worker left, or else the next one that waits.

        only: its number; None: whichever.  -> Optuna's trial; None if there is none to take
        """
        State = self.optuna.trial.TrialState
        candidates = [each for each in self.frozen() if only in (None, each.number)]
        for each in sorted(candidates, key=lambda each: (each.state != State.RUNNING, each.number)):
            folder = self.trial_lock(each.number)
            if each.state == State.RUNNING and folder.exists() and self.locked(folder):
                if self.still(each, State.RUNNING):
                    return self.optuna.trial.Trial(self.study, each._trial_id)
                release(folder)
            elif each.state == State.WAITING and self.locked(folder):
                with contextlib.suppress(self.optuna.exceptions.UpdateFinishedTrialError):
                    if self.still(each, State.WAITING) and self.storage.set_trial_state_values(each._trial_id, state=State.RUNNING):
                        return self.optuna.trial.Trial(self.study, each._trial_id)
                release(folder)
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()
        return None

    def locked(self, folder: Path) -> bool:
        """Lock a trial.  -> whether nobody held it"""
        if folder.resolve() in HELD:
            return False
        try:
            claim(folder)
        except InUse:
            return False
        return True

    def still(self, trial: Any, state: Any) -> bool:
        """Whether a trial is in this state now that it is locked."""
        return self.storage.get_trial(trial._trial_id).state == state

    def point(self, trial: Any) -> dict[str, Any]:
        """The options of a trial, drawn now unless an earlier worker did; kept by their long names."""
        return {name: each.suggest(trial, long_name(name)) for name, each in self.space.varied.items()}

    def count_start(self, trial: Any, step: int) -> bool:
        """Count that a worker starts at this step of the trial.  -> False if too many have died there, one after another"""
        starts = [*trial.user_attrs.get(RESUMED, []), step]
        trial.set_user_attr(RESUMED, starts)
        return starts[-MOST_DEATHS - 1 :] != [step] * (MOST_DEATHS + 1)

    def report(self, trial: Any, losses: list[tuple[int, float]]) -> bool:
        """Tell all evaluations of a trial, (step, loss) each, of which some may be known.  -> whether it should be pruned"""
        known = self.storage.get_trial(trial._trial_id).intermediate_values
        for k, (_, loss) in enumerate(losses, start=1):
            if k not in known:
                trial.report(loss, k)
        trial.set_user_attr(STEPS, [step for step, _ in losses])
        return self.space.reduction is not None and bool(losses) and trial.should_prune()

    def tell(self, trial: Any, state: str, loss: float | None, seconds: float | None = None, reason: str | None = None) -> None:
        """The result of a trial. If another worker has told it, nothing changes."""
        for name, value in ((SECONDS, seconds), (REASON, reason)):
            if value is not None:
                trial.set_user_attr(name, value)
        State = self.optuna.trial.TrialState
        states = {COMPLETE: State.COMPLETE, PRUNED: State.PRUNED, FAILED: State.FAIL}
        with contextlib.suppress(self.optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_state_values(trial._trial_id, state=states[state], values=None if loss is None else [loss])

    def trials(self) -> list[Trial]:
        """All trials, in order."""
        names = dict(zip(("WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"), (WAITING, RUNNING, COMPLETE, PRUNED, FAILED), strict=True))
        fields = {long_name(name): name for name in self.space.varied}
        return [
            Trial(
                each.number,
                names[each.state.name],
                {fields[name]: each.params[name] for name in fields if name in each.params},
                each.value if each.values else None,
                tuple(zip(each.user_attrs.get(STEPS, ()), each.intermediate_values.values(), strict=False)),
                each.user_attrs.get(SECONDS),
                each.user_attrs.get(REASON),
            )
            for each in self.frozen()
        ]


def optuna() -> Any:
    """The package optuna, quiet.  Raises InputError if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise InputError("nlm sweep needs optuna, which is not installed; install it with: pip install 'nlmcli[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
