"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import report
from nlmcli.errors import InputError
from nlmcli.options import dashed


def enable_debug(ctx: typer.Context, requested: bool) -> None:
    """Record in the context's object that --debug was given."""
    if requested:
        ctx.ensure_object(dict)["debug"] = True


Debug = Annotated[bool, typer.Option("--debug", callback=enable_debug, is_eager=True, hidden=True)]
Corpus = Annotated[
    list[str] | None,
    typer.Argument(metavar="CORPUS", help=r"Text files; - reads stdin. \[default: the corpus that ships with nlm]", show_default=False),
]
RUN, NEWEST = "Folder of a run, or a checkpoint file.", r"\[default: the newest run under ./runs]"
Run = Annotated[Path | None, typer.Option(metavar="PATH", help=f"{RUN} {NEWEST}", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Suppress progress and messages, but not errors.")]


def load(run: Path | None):
    """The language model of --run, or of the newest run."""
    from nlmcli.engine.run.language_model import LanguageModel
    from nlmcli.engine.run.saved import newest_run

    return LanguageModel.load(run or newest_run())


def load_any(run: Path | None):
    """The model of --run, or of the newest run, whatever its task."""
    from nlmcli.engine.run import saved

    return saved.load(run or saved.newest_run())


def refuse_together(**given: object) -> None:
    """Raises InputError if more than one of these options was given."""
    names = [dashed(name) for name, value in given.items() if value]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)} cannot be combined; give only one of them")


def refuse_with(other: str, **given: object) -> None:
    """Raises InputError for the first of these options that was given: it has no effect together with another one."""
    for name, value in given.items():
        if value not in (None, False, [], ()):
            raise InputError(f"{dashed(name)} has no effect together with {dashed(other)}; leave it out")


def refuse_without(required: str, **given: object) -> None:
    """Raises InputError for the first of these options that was given: they require another one, which was not."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{dashed(name)} has no effect without {dashed(required)}; add {dashed(required)}")


def announce_dropped(quiet: bool) -> None:
    """Print a message when a text has more different words than are counted."""
    from nlmcli.text import strings

    def say(number: int, times: int) -> None:
        report.message(f"very many different words: {number:,} that have occurred {report.number_of(times, 'time')} at most become <unk>")

    strings.ON_DROPPED[:] = [] if quiet else [say]


def announce_compiling(quiet: bool) -> None:
    """Print a message when kernels are about to be compiled, which takes seconds; none if all are in the cache."""
    from nlmcli import kernel_cache

    cached = ", cached for later runs" if kernel_cache.FOLDER else ""
    kernel_cache.ON_COMPILE[:] = [] if quiet else [lambda: report.message(f"compiling kernels for this CPU{cached}")]
