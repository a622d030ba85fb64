"""The lecture's worked examples: every factor with its numeric value next to it. Each file is one, named after it.

A file defines `lines`, which returns a list of (what, value, numeric). numeric is a central difference, or None for values that
are not derivatives; a line whose value is None is a heading. Listing the names imports no file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nlmcli.errors import InputError, suggest
from nlmcli.registry import module_names

if TYPE_CHECKING:
    from nlmcli.engine.checking.examples.base.numeric import Line


def names() -> list[str]:
    """The names of all examples, in alphabetical order."""
    return module_names(__name__)


def example(name: str) -> list[Line]:
    """The lines of the worked example with this name.  Raises InputError for an unknown one."""
    if name not in names():
        raise InputError(f"unknown example {name!r}{suggest(name, names())}")
    return import_module(f"{__name__}.{name}").lines()
