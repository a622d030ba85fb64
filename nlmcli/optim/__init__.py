"""The folder is the registry: one optimizer a file, as published, on the flat vector θ."""

import importlib
import pkgutil

from nlmcli.errors import InputError, suggest

NOT_OPTIMIZERS = {"base", "clip", "schedule"}


def names() -> list[str]:
    """All optimizers, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in NOT_OPTIMIZERS)


def optimizer_class(name: str):
    """The Optimizer of optim/NAME.py.  Raises InputError for a name that no file has."""
    if name not in names():
        raise InputError(f"unknown optimizer {name!r}{suggest(name, names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return next(v for v in vars(module).values() if isinstance(v, type) and hasattr(v, "Config") and v.__module__ == module.__name__)
