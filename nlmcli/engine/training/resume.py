"""The settings of a resumed run: those it was saved with, except for its length and a few others that may be changed."""

from pathlib import Path
from typing import Any

from nlmcli.engine.reading.texts import check_available
from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.settings import LENGTHS, Settings
from nlmcli.errors import InputError
from nlmcli.options import dashed

CHANGEABLE = (*LENGTHS, "eval_every", "patience", "corpus", "valid")  # options that may change on resuming; texts only in location


def resumed_settings(folder: Path, given: dict[str, Any]) -> Settings:
    """The settings of the run in a folder, updated by the options given.  Raises InputError if one that is not changeable differs."""
    about = checkpoint.description(folder / "last.npz")
    if "progress" not in about:
        raise InputError(
            f"{folder} cannot be resumed: model {about.get('model')} is not trained in steps; train it again with another --out"
        )
    saved = Settings.from_dict(about["settings"])
    conflicts = [name for name, value in given.items() if name not in CHANGEABLE and value != saved.get(name)]
    if conflicts:
        listed = " and ".join(f"{dashed(name)} {as_typed(given[name])} (the run's is {as_typed(saved.get(name))})" for name in conflicts)
        raise InputError(f"--resume keeps the run's options; leave out {listed}")
    check_available(Settings.of(**saved.by_field() | given), "nlm train FILE --resume")
    changed = {name: value for name, value in given.items() if name in CHANGEABLE}
    if not set(LENGTHS).isdisjoint(changed):
        changed = dict.fromkeys(LENGTHS) | changed
    return Settings.of(**saved.by_field() | changed)


def as_typed(value: Any) -> str:
    """A setting as it is typed on the command line."""
    if value in (None, ()):
        return "the default"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
