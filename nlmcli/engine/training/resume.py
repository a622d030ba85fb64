"""Going on with a run: the settings it has, of which only the length and a few others may be changed."""

from pathlib import Path
from typing import Any

from nlmcli.engine.reading.texts import check_there
from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.settings import LENGTHS, Settings
from nlmcli.errors import InputError
from nlmcli.options import dashed

FREE = (*LENGTHS, "eval_every", "patience", "corpus", "valid")  # what may be changed on the way; a text only if it is the same


def settings_of(folder: Path, given: dict[str, Any]) -> Settings:
    """The settings of the run in a folder, longer if `given` says so.  Raises InputError for another value of anything else."""
    _, about = checkpoint.load(folder / "last.npz")
    if "progress" not in about:
        raise InputError(f"{folder} holds nothing to go on with: model {about.get('model')} is not trained step by step")
    saved = Settings.from_dict(about["settings"])
    differ = [name for name, value in given.items() if name not in FREE and value != saved.get(name)]
    if differ:
        told = " and ".join(f"{dashed(name)} {shown(given[name])} (the run's is {shown(saved.get(name))})" for name in differ)
        raise InputError(f"--resume goes on with the options the run has; leave out {told}")
    check_there(Settings.of(**saved.by_field() | given), "nlm train FILE --resume")
    changed = {name: value for name, value in given.items() if name in FREE}
    if not set(LENGTHS).isdisjoint(changed):
        changed = dict.fromkeys(LENGTHS) | changed
    return Settings.of(**saved.by_field() | changed)


def shown(value: Any) -> str:
    """A setting as it is typed."""
    if value in (None, ()):
        return "the default"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
