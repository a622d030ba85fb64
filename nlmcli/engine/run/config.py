"""The YAML files of options: those that a user writes, and the one that every run keeps."""

from pathlib import Path
from typing import Any

import yaml

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.run.settings import Settings, options_of
from nlmcli.errors import InputError


def read_options(path: Path) -> dict[str, Any]:
    """The options in a YAML file, by the names of their fields.  Raises InputError where the file holds anything else."""
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


def write_config(folder: Path, settings: Settings) -> None:
    """The settings as a run's config.yaml."""
    config = yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True)
    write_atomically(folder / "config.yaml", lambda file: file.write(config.encode()))
