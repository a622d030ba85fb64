"""The command `nlm`: its commands, and what every one of them does about errors, interrupts and closed pipes."""

import os
import sys
from typing import Annotated, Protocol, runtime_checkable

# The matrix products of a shard use one thread, its siblings the others. BLAS reads these when NumPy is imported.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import typer  # noqa: E402

from nlmcli import __version__  # noqa: E402
from nlmcli.cli import eval, generate, gradcheck, report, tokenize, train  # noqa: E402
from nlmcli.errors import InputError  # noqa: E402

# Typer brings a Click of its own, under a private name; this is the base class of its errors.
ClickException = next(kind for kind in typer.BadParameter.__mro__ if issubclass(kind, Exception) and kind.__name__ == "ClickException")


@runtime_checkable
class Worded(Protocol):
    """An error that words itself, as Click's do."""

    def format_message(self) -> str: ...


app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"nlm {__version__}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 130 interrupted after saving.")
def nlm(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Say which nlm this is.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from. May stand anywhere.")] = False,
) -> None:
    """Train, examine and sample tiny neural language models on your own text, on this computer's CPU."""


app.command()(tokenize.tokenize)
app.command()(train.train)
app.command()(eval.eval)
app.command()(generate.generate)
app.command()(gradcheck.gradcheck)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line.  -> its exit code. Bad usage and bad input are one sentence on stderr, and 2."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        done = app([a for a in given if a != "--debug"], prog_name="nlm", standalone_mode=False)
        return done if isinstance(done, int) else 0
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has what it wanted
        return 0
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    except (InputError, ClickException, MemoryError) as error:
        if debug:
            raise
        if said := sentence(error):
            print(f"nlm: {report.printable(said)}", file=sys.stderr)
        return 2


def sentence(error: BaseException) -> str:
    """What went wrong. Empty where the help was printed instead."""
    if isinstance(error, MemoryError):
        return "out of memory; try a smaller --batch-size, --seq-len, --hidden or --vocab-size"
    return error.format_message() if isinstance(error, Worded) else str(error)


def run() -> None:
    sys.exit(main())
