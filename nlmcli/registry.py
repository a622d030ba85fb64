"""A folder is a registry: each module in it defines one member, named after its file. What members share lies elsewhere."""

import pkgutil
from importlib import import_module
from typing import Generic, TypeVar

from nlmcli.errors import InputError, suggest

Member = TypeVar("Member")


class Registry(Generic[Member]):
    """The classes that the modules of a package define, by the modules' names. Listing them imports none of them."""

    def __init__(self, kind: str, package: str, base: str):
        """kind: what a member is called in messages.  base: the class that members derive from, as "package.module:Class"."""
        self.kind, self.package, self.base = kind, package, base

    def names(self) -> list[str]:
        """The names of all members, in alphabetical order."""
        return sorted(module.name for module in pkgutil.iter_modules(import_module(self.package).__path__) if not module.ispkg)

    def get(self, name: str) -> type[Member]:
        """The member of that name.  Raises InputError for an unknown one."""
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
