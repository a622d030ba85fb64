"""The folder is the registry: a file here that defines a Model named like the file is an architecture nlm knows."""

import importlib
import pkgutil

from nlmcli.errors import InputError, suggest

NOT_MODELS = {"base", "recurrent"}


def names() -> list[str]:
    """All architectures, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in NOT_MODELS)


def neural_names() -> list[str]:
    """Those that are trained by their gradients."""
    return [name for name in names() if model_class(name).neural]


def model_class(name: str):
    """The Model of models/NAME.py.  Raises InputError for a name that no file has."""
    if name not in names():
        raise InputError(f"unknown model {name!r}{suggest(name, names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "Config")
    )
