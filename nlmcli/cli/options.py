"""Options that several commands have, said once."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import report
from nlmcli.errors import InputError
from nlmcli.options import dashed


def wish(ctx: typer.Context, wanted: bool) -> None:
    """Note that --debug was given, for whoever began this."""
    if wanted:
        ctx.ensure_object(dict)["debug"] = True


Debug = Annotated[bool, typer.Option("--debug", callback=wish, is_eager=True, hidden=True)]
Corpus = Annotated[
    list[str] | None,
    typer.Argument(metavar="CORPUS", help="Text files; - is stdin. None: the corpus that ships with nlm.", show_default=False),
]
RUN = "A run's folder or a checkpoint. Default: the newest run under ./runs."
Run = Annotated[Path | None, typer.Option(metavar="PATH", help=RUN, show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")]


def load(run: Path | None):
    """The language model of --run, or of the newest run."""
    from nlmcli.engine.run.language_model import LanguageModel, newest_run

    return LanguageModel.load(run or newest_run())


def refuse_together(**given: object) -> None:
    """Raises InputError where more than one of these options was given."""
    names = [dashed(name) for name, value in given.items() if value]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)} do not go together; give one of them")


def refuse_with(way: str, **given: object) -> None:
    """Raises InputError for the first of these options that was given: it could not act together with another."""
    for name, value in given.items():
        if value not in (None, False, [], ()):
            raise InputError(f"{dashed(name)} has no effect together with {dashed(way)}; leave it out")


def refuse_without(other: str, **given: object) -> None:
    """Raises InputError for the first of these options that was given: they are about another, which was not."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{dashed(name)} is about {dashed(other)}; give that too")


def announce_compiling(quiet: bool) -> None:
    """Have it said when kernels are about to be compiled, which takes seconds; where they are kept already nothing is said."""
    from nlmcli import kernel_cache

    once = ", once" if kernel_cache.FOLDER else ""
    kernel_cache.BEFORE_COMPILING[:] = [] if quiet else [lambda: report.message(f"compiling kernels for this CPU{once}")]
