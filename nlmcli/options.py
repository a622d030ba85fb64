"""An option, defined in one place: a dataclass field that carries its help text, bounds and choices.

The command line, YAML files, the Python API, the checks and the README all read it from there.
"""

import math
import reprlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from nlmcli.errors import InputError, suggest
from nlmcli.registry import Registry

MOST = 10**15  # the largest value of any option: beyond it, arithmetic itself fails
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of texts"}


@dataclass(frozen=True)
class Option:
    """What is known of an option besides its name, type and default.

    help: one sentence; {names} stands for the names to choose from.  metavar: stands for the value in the help.
    panel: the group of options it belongs to in the help.
    least, most: bounds that are allowed themselves; above, below: bounds that are not.
    default_text: describes a default that the value itself does not.
    choices: the names to choose from; of a registry, each member's `Config` has further options.
    gradient: the option has no meaning for a model that is not trained by gradient descent.
    """

    help: str = ""
    metavar: str | None = None
    panel: str | None = None
    least: float | None = None
    most: float = MOST
    above: float | None = None
    below: float | None = None
    default_text: str | None = None
    choices: Registry[Any] | Callable[[], Sequence[str]] | None = None
    gradient: bool = False

    def names(self) -> list[str]:
        """The names to choose from; none where any value may be given."""
        return [] if self.choices is None else list(self.choices.names() if isinstance(self.choices, Registry) else self.choices())

    def check(self, name: str, value: Any) -> None:
        """Raises InputError for a value that is out of range or not one of the choices; None is always allowed."""
        if value is None:
            return
        if isinstance(self.choices, Registry):
            self.choices.get(value)
        elif self.choices is not None and value not in self.names():
            raise InputError(f"unknown {name} {value!r}{suggest(value, self.names())}")
        elif isinstance(value, int | float):
            self.check_range(name, value)

    def check_range(self, name: str, value: float) -> None:
        shown = f"{dashed(name)} {reprlib.repr(value)}"
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{shown} is not a {'' if math.isnan(value) else 'finite '}number")
        if self.least is not None and value < self.least:
            raise InputError(f"{shown} is too small; give {self.least:g} or more")
        if self.above is not None and value <= self.above:
            raise InputError(f"{shown} is too small; give a number above {self.above:g}")
        if self.below is not None and value >= self.below:
            raise InputError(f"{shown} is too large; give a number below {self.below:g}")
        if value > self.most:
            raise InputError(f"{shown} is too large; give {self.most:,} or less")


def option(default: Any, help: str, metavar: str | None = None, **more: Any) -> Any:
    """A dataclass field that is an option.  more: as in `Option`."""
    return field(default=default, metadata={"option": Option(help, metavar, **more)})


def check_at_least(name: str, value: float | None, least: float, most: float = MOST) -> None:
    """Raises InputError for a value outside of [least, most]; None is allowed."""
    Option(least=least, most=most).check(name, value)


def check_whole(name: str, value: Any, least: float) -> None:
    """Raises InputError where the value is neither None nor a whole number of at least that."""
    check_at_least(name, of_kind(name, value, int, optional=True), least)


def dashed(name: str) -> str:
    """An option as it is typed on the command line."""
    return "--" + long_name(name)


def long_name(name: str) -> str:
    """An option as it is written in a YAML file."""
    return name.replace("_", "-")


@dataclass(frozen=True)
class Listed:
    """A dataclass's field as an option.

    owner: the option that names the class of whose Config it is a field; members: the classes that have it, each with its
    default in words; lacking: the classes that do not have it.
    """

    name: str
    kind: type
    optional: bool
    option: Option
    default: Any = None
    owner: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    def value(self, given: Any) -> Any:
        """The given value as the field holds it.  Raises InputError for a value of another kind."""
        return of_kind(long_name(self.name), given, self.kind, self.optional)

    def description(self) -> str:
        """The help text with the names to choose from, and which classes have the option."""
        text = self.option.help.format(names=", ".join(self.option.names()))
        having = f"all but {self.lacking[0]}" if len(self.lacking) == 1 else ", ".join(self.members)
        return f"{text.removesuffix('.')} ({having})." if self.lacking else text

    def default_text(self) -> str:
        """The default in words, the most frequent one first: "256; cnn: 64; mamba: 2 x embed". Empty where there is none."""
        if self.members:
            (usual, _), *_ = Counter(self.members.values()).most_common()
            return "; ".join([usual, *(f"{member}: {text}" for member, text in self.members.items() if text != usual)])
        if self.option.default_text is not None or self.default is None or self.kind is bool:
            return self.option.default_text or ("on" if self.default else "")
        return f"{self.default:g}" if self.kind is float else str(self.default)


def listed(Options: type) -> dict[str, Listed]:
    """The options that a dataclass defines, by name, in order."""
    hints, found = get_type_hints(Options), {}
    for each in fields(Options):
        hint = hints[each.name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (get_origin(hint) or hint,)
        default = None if each.default is MISSING else each.default
        found[each.name] = Listed(each.name, kinds[0], NoneType in kinds, each.metadata.get("option", Option()), default)
    return found


def of_kind(name: str, value: Any, kind: type, optional: bool = False) -> Any:
    """The value as a field of this type holds it.  Raises InputError where it cannot."""
    if value is None and optional:
        return None
    if kind is tuple and isinstance(value, str | list | tuple):
        return (value,) if isinstance(value, str) else tuple(of_kind(name, each, str) for each in value)
    if kind is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3 for a text
        except (TypeError, ValueError, OverflowError):
            pass
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise InputError(f"option {name!r} is {reprlib.repr(value)}, which is not {KINDS.get(kind, f'a {kind.__name__}')}")
