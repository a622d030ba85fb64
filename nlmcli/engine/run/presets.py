"""Settings that ship with nlm: each a YAML file that says what it is, what to expect of it, and its options."""

from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from nlmcli.engine.run.settings import options_of
from nlmcli.errors import InputError, suggest


@dataclass(frozen=True)
class Preset:
    """about: what it trains, on which text; result: what was measured there; options: by the names of the settings."""

    name: str
    about: str
    result: str
    options: dict[str, Any]


def presets() -> list[Preset]:
    """All of them, by name."""
    files = sorted(resources.files("nlmcli").joinpath("presets").iterdir(), key=lambda file: file.name)
    return [read(file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".yaml")]


def read(name: str, text: str) -> Preset:
    given = yaml.safe_load(text)
    return Preset(name, given.pop("about"), given.pop("result"), options_of(given))


def preset(name: str) -> Preset:
    """The preset of that name.  Raises InputError for an unknown one."""
    found = {one.name: one for one in presets()}
    if name not in found:
        raise InputError(f"unknown preset {name!r}{suggest(name, found)}")
    return found[name]
