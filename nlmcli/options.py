"""An option, defined once: a dataclass field that carries its help text, bounds and choices.

The command line, YAML files, the Python API, validation and the README all read it from there.
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

ADVANCED = "Advanced"  # the help panel of what nobody needs at first; it is listed last
MAX_VALUE = 10**15  # the largest value of any option; arithmetic fails beyond it
TYPE_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a string", tuple: "a list of strings"}


@dataclass(frozen=True)
class Option:
    """The metadata of an option besides its name, type and default.

    help: one sentence; {names} is replaced by the choices.  metavar: placeholder for the value in the help.
    panel: the help panel that lists the option.
    least, most: inclusive bounds; above, below: exclusive bounds.
    default_text: describes a default that the value itself does not.
    choices: the allowed names; for a registry, each member's `Config` defines further options.
    gradient: the option applies only to models trained by gradient descent.
    """

    help: str = ""
    metavar: str | None = None
    panel: str | None = None
    least: float | None = None
    most: float = MAX_VALUE
    above: float | None = None
    below: float | None = None
    default_text: str | None = None
    choices: Registry[Any] | Callable[[], Sequence[str]] | None = None
    gradient: bool = False

    def names(self) -> list[str]:
        """The allowed names; empty if any value is allowed."""
        return [] if self.choices is None else list(self.choices.names() if isinstance(self.choices, Registry) else self.choices())

    def check(self, name: str, value: Any) -> None:
        """Raises InputError for a value that is out of range or not among the choices; None is always valid."""
        if value is None:
            return
        if isinstance(self.choices, Registry):
            self.choices.get(value)
        elif self.choices is not None and value not in self.names():
            raise InputError(f"unknown {name} {value!r}{suggest(value, self.names())}")
        elif isinstance(value, int | float):
            self.check_range(name, value)

    def check_range(self, name: str, value: float) -> None:
        """Raises InputError for a number that is out of range or not finite."""
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


def option(default: Any, help: str, metavar: str | None = None, **attributes: Any) -> Any:
    """A dataclass field that is an option.  attributes: those of `Option`."""
    return field(default=default, metadata={"option": Option(help, metavar, **attributes)})


def check_at_least(name: str, value: float | None, least: float, most: float = MAX_VALUE) -> None:
    """Raises InputError for a value outside [least, most]; None is valid."""
    Option(least=least, most=most).check(name, value)


def check_whole(name: str, value: Any, least: float) -> None:
    """Raises InputError unless the value is None or an integer of at least `least`."""
    check_at_least(name, convert(name, value, int, optional=True), least)


def dashed(name: str) -> str:
    """The name of an option on the command line."""
    return "--" + long_name(name)


def long_name(name: str) -> str:
    """The name of an option in a YAML file."""
    return name.replace("_", "-")


@dataclass(frozen=True)
class OptionField:
    """A dataclass field as an option.

    owner: for a field of a member's Config, the option that selects the member; members: the members that have the
    option, each with its default in words; lacking: the members that do not have it.
    """

    name: str
    kind: type
    optional: bool
    option: Option
    default: Any = None
    owner: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    by_task: dict[str, str] = field(default_factory=dict)  # the tasks whose default differs

    def value(self, given: Any) -> Any:
        """The given value converted to the field's type.  Raises InputError for a value of another type."""
        return convert(long_name(self.name), given, self.kind, self.optional)

    def description(self) -> str:
        """The help text with the choices filled in, and which members have the option."""
        text = self.option.help.format(names=", ".join(self.option.names()))
        members_text = f"all but {self.lacking[0]}" if len(self.lacking) == 1 else ", ".join(self.members)
        return f"{text.removesuffix('.')} ({members_text})." if self.lacking else text

    def default_text(self) -> str:
        """The default in words, the most frequent one first: "256; cnn: 64; mamba: 2 x embed". Empty if there is none."""
        return "; ".join([self.usual_text(), *(f"{tasks}: {text}" for text, tasks in self.by_task.items())])

    def usual_text(self) -> str:
        """The same, whatever the task."""
        if self.members:
            (usual, _), *_ = Counter(self.members.values()).most_common()
            return "; ".join([usual, *(f"{member}: {text}" for member, text in self.members.items() if text != usual)])
        if self.option.default_text is not None or self.default is None or self.kind is bool:
            return self.option.default_text or ("on" if self.default else "")
        return f"{self.default:g}" if self.kind is float else str(self.default)


def option_fields(Options: type) -> dict[str, OptionField]:
    """The options that a dataclass defines, by name, in order of definition."""
    hints, options = get_type_hints(Options), {}
    for item in fields(Options):
        hint = hints[item.name]
        types = get_args(hint) if isinstance(hint, UnionType) else (get_origin(hint) or hint,)
        default = None if item.default is MISSING else item.default
        options[item.name] = OptionField(item.name, types[0], NoneType in types, item.metadata.get("option", Option()), default)
    return options


def convert(name: str, value: Any, kind: type, optional: bool = False) -> Any:
    """The value converted to a field's type.  Raises InputError for a value of another type."""
    if value is None and optional:
        return None
    if kind is tuple and isinstance(value, str | list | tuple):
        return (value,) if isinstance(value, str) else tuple(convert(name, item, str) for item in value)
    if kind is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-3 as a string
        except (TypeError, ValueError, OverflowError):
            pass
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise InputError(f"option {name!r} must be {TYPE_NAMES.get(kind, f'a {kind.__name__}')}, not {reprlib.repr(value)}")
