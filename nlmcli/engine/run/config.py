"""YAML files of options: those that a user writes, and the config.yaml of every run."""

import re
from pathlib import Path
from typing import Any

import yaml

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.run.settings import Settings, options_of
from nlmcli.errors import InputError


class Loader(yaml.SafeLoader):
    """YAML with unique keys and the numbers of version 1.2: 010 is ten, and 1:30 is not a number."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        for k, (key, _) in enumerate(node.value):
            if any(key.value == other.value for other, _ in node.value[:k] if isinstance(key.value, str)):
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)


NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in NUMBERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("decimal", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_implicit_resolver(
    NUMBERS[1], re.compile(r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$"), list("-+0123456789.")
)
Loader.add_implicit_resolver(NUMBERS[1], re.compile(r"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"), list("-+."))
Loader.add_constructor("decimal", lambda loader, node: int(node.value))


def read_yaml(path: Path) -> dict[str, Any]:
    """What stands in a YAML file, by name.  Raises InputError if it is not YAML of that form."""
    try:
        given = yaml.load(path.read_bytes(), Loader)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date in month 13
        raise InputError(f"{path} is not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(given, dict):
        raise InputError(f"{path} contains no options; write one per line, as in: hidden: 128")
    return given


def read_options(path: Path) -> dict[str, Any]:
    """The options in a YAML file, by field name.  Raises InputError if the file contains anything else."""
    given = read_yaml(path)
    try:
        return options_of(given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_config(folder: Path, settings: Settings) -> None:
    """Write the settings to the config.yaml of a run."""
    config = yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True)
    write_atomically(folder / "config.yaml", lambda file: file.write(config.encode()))
