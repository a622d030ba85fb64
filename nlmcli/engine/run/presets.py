"""Presets that ship with nlm: each is a YAML file with a description, the measured result, and options."""

from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from nlmcli.engine.run.settings import options_of
from nlmcli.errors import InputError, suggest


@dataclass(frozen=True)
class Preset:
    """about: what it trains, on which text; result: measured there; options: by field name of the settings."""

    name: str
    about: str
    result: str
    options: dict[str, Any]


def presets() -> list[Preset]:
    """All presets, sorted by name."""
    files = sorted(resources.files("nlmcli").joinpath("presets").iterdir(), key=lambda file: file.name)
    return [parse(file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".yaml")]


def parse(name: str, text: str) -> Preset:
    given = yaml.safe_load(text)
    return Preset(name, given.pop("about"), given.pop("result"), options_of(given))


def preset(name: str) -> Preset:
    """The preset with this name.  Raises InputError for an unknown one."""
    by_name = {each.name: each for each in presets()}
    if name not in by_name:
        raise InputError(f"unknown preset {name!r}{suggest(name, by_name)}")
    return by_name[name]
