"""YAML files of options: those that a user writes, and the config.yaml of every run."""

from pathlib import Path
from typing import Any

import yaml

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.run.settings import Settings, options_of
from nlmcli.errors import InputError


def read_options(path: Path) -> dict[str, Any]:
    """The options in a YAML file, by field name.  Raises InputError if the file contains anything else."""
    try:
        given = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date in month 13
        raise InputError(f"{path} is not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(given, dict):
        raise InputError(f"{path} contains no options; write one per line, as in: hidden: 128")
    try:
        return options_of(given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_config(folder: Path, settings: Settings) -> None:
    """Write the settings to the config.yaml of a run."""
    config = yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True)
    write_atomically(folder / "config.yaml", lambda file: file.write(config.encode()))
