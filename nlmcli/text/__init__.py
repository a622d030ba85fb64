"""Text <-> ids. The folder is the registry: a file here that defines a tokenizer of its own name is one."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from nlmcli.errors import InputError, suggest

if TYPE_CHECKING:
    from nlmcli.text.tokenizer import Tokenizer

_NOT_TOKENIZERS = {"corpus", "merges", "saved", "split", "strings", "tokenizer", "tokenizer_json"}


def names() -> list[str]:
    """The names of all tokenizers, in alphabetical order; nothing is imported for it."""
    found = {module.name for module in pkgutil.iter_modules(__path__)}
    return sorted(name for name in found - _NOT_TOKENIZERS if not name.startswith("_"))


def tokenizer_class(name: str) -> type[Tokenizer]:
    """The tokenizer of this name.  Raises InputError for a name that is not in `names()`."""
    if name not in names():
        raise InputError(f"unknown tokenizer '{name}'{suggest(name, names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and getattr(value, "name", None) == name:
            return value
    raise LookupError(f"{module.__name__} defines no tokenizer named '{name}'")


def from_dict(saved: dict[str, Any]) -> Tokenizer:
    """The tokenizer that `to_dict` wrote.  Raises InputError for what is none."""
    if not isinstance(saved, dict) or not isinstance(saved.get("name"), str):
        raise InputError("a saved tokenizer needs a 'name'; give a dictionary that to_dict() made")
    return tokenizer_class(saved["name"]).from_dict(saved)
