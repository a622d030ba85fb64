"""A package as a registry: each module defines one member and is named after it. Code that members share lies elsewhere."""

import pkgutil
from importlib import import_module
from typing import Generic, TypeVar

from nlmcli.errors import InputError, suggest

Member = TypeVar("Member")


def module_names(package: str) -> list[str]:
    """The names of the modules of a package, without its subpackages, in alphabetical order. None of them is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(import_module(package).__path__) if not module.ispkg)


class Registry(Generic[Member]):
    """The classes that the modules of a package define, by module name. Listing the names imports no module."""

    def __init__(self, kind: str, package: str, base: str):
        """kind: what messages call a member.  base: the base class of all members, as "package.module:Class"."""
        self.kind, self.package, self.base = kind, package, base

    def names(self) -> list[str]:
        """The names of all members, in alphabetical order."""
        return module_names(self.package)

    def get(self, name: str) -> type[Member]:
        """The member with this name.  Raises InputError for an unknown name."""
        if name not in self.names():
            raise InputError(f"unknown {self.kind} {name!r}{suggest(name, self.names())}")
        module, base = import_module(f"{self.package}.{name}"), pkgutil.resolve_name(self.base)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__:
                return value
        raise LookupError(f"{module.__name__} defines no {base.__name__}")

    def members(self) -> dict[str, type[Member]]:
        """All members by name."""
        return {name: self.get(name) for name in self.names()}
