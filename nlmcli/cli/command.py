"""A command of nlm: its help shows no Python types, and its options may come from dataclass fields."""

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nlmcli.options import ADVANCED, OptionField, dashed

TYPED = "typed"  # key of the typed options in the context's meta


class Command(TyperCommand):
    """A command with options from dataclass fields besides those in its signature; `typed_options` returns those that were typed."""

    @staticmethod
    def fields() -> Iterable[OptionField]:
        """The options that come from dataclasses."""
        return ()

    def get_params(self, ctx: Any) -> list[Any]:
        return [without_type(param) for param in (*self.field_params(), *super().get_params(ctx))]

    def field_params(self) -> list[Any]:
        """The parameters of the dataclass fields, created once."""
        if "_field_params" not in vars(self):
            self._field_params = parameters(self.fields())
        return self._field_params

    def invoke(self, ctx: Any) -> Any:
        values = {param.name: ctx.params.pop(param.name) for param in self.field_params()}
        ctx.ensure_object(dict)["command"] = self.name
        ctx.meta[TYPED] = {name: value for name, value in values.items() if value is not None}
        return super().invoke(ctx)


def command_with(fields: Callable[[], Iterable[OptionField]]) -> type[Command]:
    """A subclass of Command with these options. `fields` is called when the command is used, not when it is listed."""
    return type("CommandWithOptions", (Command,), {"fields": staticmethod(fields)})


def typed_options(ctx: typer.Context) -> dict[str, Any]:
    """The dataclass options that were typed on the command line, by field name."""
    return dict(ctx.meta[TYPED])


def parameters(fields: Iterable[OptionField]) -> list[Any]:
    """Typer's parameters for these options, grouped by panel. None: not typed."""
    fields = list(fields)

    def command(**_: Any) -> None: ...

    panels = sorted(dict.fromkeys(each.option.panel for each in fields), key=lambda panel: panel == ADVANCED)
    annotations: dict[str, Any] = {each.name: annotated(each) for each in sorted(fields, key=lambda each: panels.index(each.option.panel))}
    params = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=a) for name, a in annotations.items()]
    command.__signature__ = inspect.Signature(params)  # type: ignore[attr-defined]
    command.__annotations__ = annotations
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return list(typer.main.get_command(app).params)


def annotated(each: OptionField) -> Any:
    """The field as a Typer annotation: its type, and an option with its help text, brackets escaped from Rich markup."""
    default = f" [default: {text}]" if (text := each.default_text()) else ""
    names = [dashed(each.name)] if each.kind is bool and each.default is False else []
    help, panel = (each.description() + default).replace("[", r"\["), each.option.panel
    return Annotated[
        each.kind | None, typer.Option(*names, help=help, metavar=each.option.metavar, rich_help_panel=panel, show_default=False)
    ]


class Group(TyperGroup):
    """The group of all commands; its help shows no Python types."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [without_type(param) for param in super().get_params(ctx)]


def without_type(param: Any) -> Any:
    """The parameter, whose help shows its metavar instead of its Python type; nothing for a flag."""
    param.display_type_rich = lambda ctx: (param.metavar or "") if param.param_type_name == "option" else ""
    return param
