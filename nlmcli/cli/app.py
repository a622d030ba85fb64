"""The command `nlm`: its commands, and what every one of them does about errors, interrupts and closed pipes."""

import os
import sys
from typing import Annotated, Any, Protocol, runtime_checkable

# The matrix products of a shard use one thread, its siblings the others. BLAS reads these when NumPy is imported.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import typer  # noqa: E402

from nlmcli import __version__  # noqa: E402
from nlmcli.cli import compare, eval, generate, gradcheck, inspect, options, report, tokenize, train  # noqa: E402
from nlmcli.cli.command import Command, Group  # noqa: E402
from nlmcli.errors import InputError  # noqa: E402

# Typer brings a Click of its own, under a private name; this is the base class of its errors.
ClickException = next(kind for kind in typer.BadParameter.__mro__ if issubclass(kind, Exception) and kind.__name__ == "ClickException")


@runtime_checkable
class Worded(Protocol):
    """An error that words itself, as Click's do."""

    def format_message(self) -> str: ...


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"nlm {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Say which nlm this is.", show_default=False)
]
Debug = Annotated[
    bool,
    typer.Option("--debug", callback=options.wish, is_eager=True, help="Show where an error came from. May stand anywhere."),
]


@app.callback(epilog="Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 130 interrupted after saving.")
def nlm(version: Version = False, debug: Debug = False) -> None:
    """Train, examine and sample tiny neural language models on your own text, on this computer's CPU.

    Start: nlm train, then nlm generate --prompt "students opened their"
    """


app.command(cls=tokenize.Command)(tokenize.tokenize)
app.command(cls=train.Command)(train.train)
app.command(cls=Command)(eval.eval)
app.command(cls=generate.Command)(generate.generate)
for command in (gradcheck.gradcheck, inspect.inspect, compare.compare):
    app.command(cls=Command)(command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line.  -> its exit code. Bad usage and bad input are one sentence on stderr, and 2."""
    wishes: dict[str, Any] = {}
    try:
        done = app(sys.argv[1:] if arguments is None else arguments, prog_name="nlm", standalone_mode=False, obj=wishes)
        return done if isinstance(done, int) else 0
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        report.discard(sys.stdout)
        return 0
    except (KeyboardInterrupt, typer.Abort, SystemError) as error:
        if isinstance(error, SystemError) and not isinstance(error.__cause__, KeyboardInterrupt):  # else it came upon a kernel
            raise
        report.message("interrupted")
        return 130
    except (InputError, ClickException, MemoryError, OSError) as error:
        if wishes.get("debug") and not isinstance(error, ClickException):
            raise
        if said := sentence(error, str(wishes.get("command", ""))):
            report.message(f"nlm: {report.printable(said)}")
        return 2


# What makes a command need less memory.
ROOM = {
    "train": "try a smaller --batch-size, --seq-len, --hidden or --vocab-size",
    "tokenize": "try a smaller --vocab-size, or a part of the text",
    "generate": "try a smaller --num, --beam or --length, or a smaller model",
    "eval": "try a part of the text, or a smaller model",
}


def sentence(error: BaseException, command: str = "") -> str:
    """What went wrong in a command. Empty where the help was printed instead."""
    if isinstance(error, MemoryError):
        return f"out of memory; {ROOM.get(command, 'close other programs')}"
    if isinstance(error, OSError):
        return f"cannot read or write {error.filename or 'a file'} ({(error.strerror or str(error)).lower()})"
    return error.format_message() if isinstance(error, Worded) else str(error)


def run() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before we began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        report.write_anything(getattr(sys, name))
    if not os.environ.get("COLUMNS", "1").isdigit() or not int(os.environ.get("COLUMNS", "1")):
        del os.environ["COLUMNS"]  # no width that anything could be shown in
    sys.exit(main())
