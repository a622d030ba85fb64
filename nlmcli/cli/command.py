"""A command of nlm: its help shows no Python types, and options may come from the fields of dataclasses."""

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nlmcli.options import Listed, dashed

GIVEN = "given"  # under this name the context keeps the options that were typed


class Command(TyperCommand):
    """A command, and the options it has besides those in its function's signature; `given` tells which of them were typed."""

    @staticmethod
    def fields() -> Iterable[Listed]:
        """The options that come from dataclasses."""
        return ()

    def get_params(self, ctx: Any) -> list[Any]:
        return [untyped(param) for param in (*self.more(), *super().get_params(ctx))]

    def more(self) -> list[Any]:
        """The options of the dataclasses' fields, made once."""
        if "made" not in vars(self):
            self.made = parameters(self.fields())
        return self.made

    def invoke(self, ctx: Any) -> Any:
        values = {param.name: ctx.params.pop(param.name) for param in self.more()}
        ctx.ensure_object(dict)["command"] = self.name
        ctx.meta[GIVEN] = {name: value for name, value in values.items() if value is not None}
        return super().invoke(ctx)


def command_with(fields: Callable[[], Iterable[Listed]]) -> type[Command]:
    """A kind of command that has these options too. They are looked up when the command is used, not when it is listed."""
    return type("CommandWithOptions", (Command,), {"fields": staticmethod(fields)})


def given(ctx: typer.Context) -> dict[str, Any]:
    """The options from dataclasses that were typed, by the names of their fields."""
    return dict(ctx.meta[GIVEN])


def parameters(fields: Iterable[Listed]) -> list[Any]:
    """Typer's parameters for these options, in the order of their panels. None: not typed."""
    fields = list(fields)

    def command(**_: Any) -> None: ...

    panels = list(dict.fromkeys(each.option.panel for each in fields))
    annotations: dict[str, Any] = {each.name: annotated(each) for each in sorted(fields, key=lambda each: panels.index(each.option.panel))}
    made = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=a) for name, a in annotations.items()]
    command.__signature__ = inspect.Signature(made)  # type: ignore[attr-defined]
    command.__annotations__ = annotations
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return list(typer.main.get_command(app).params)


def annotated(each: Listed) -> Any:
    """The field as Typer reads it: its type, and an option with its help, where a bracket is no markup."""
    default = f" [default: {text}]" if (text := each.default_text()) else ""
    names = [dashed(each.name)] if each.kind is bool and each.default is False else []
    help, panel = (each.description() + default).replace("[", r"\["), each.option.panel
    return Annotated[
        each.kind | None, typer.Option(*names, help=help, metavar=each.option.metavar, rich_help_panel=panel, show_default=False)
    ]


class Group(TyperGroup):
    """The group of all commands; its help shows no Python types."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [untyped(param) for param in super().get_params(ctx)]


def untyped(param: Any) -> Any:
    """The parameter, with its metavar in the help in place of its Python type; a flag has none."""
    param.display_type_rich = lambda ctx: (param.metavar or "") if param.param_type_name == "option" else ""
    return param
