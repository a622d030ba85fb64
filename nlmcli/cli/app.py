"""The command `nlm`: its commands, and what every one of them does about errors, interrupts and closed pipes."""

import os
import sys
from typing import Annotated

# The matrix products of a shard use one thread, its siblings the others. BLAS reads these when NumPy is imported.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import click  # noqa: E402
import typer  # noqa: E402

from nlmcli import __version__  # noqa: E402
from nlmcli.cli import eval, generate, gradcheck, tokenize, train  # noqa: E402
from nlmcli.errors import InputError  # noqa: E402

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
    except BrokenPipeError:  # the reader of our output has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 2
    except (InputError, click.ClickException, MemoryError) as error:
        if debug:
            raise
        print(f"nlm: {sentence(error)}", file=sys.stderr)
        return 2


def sentence(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "out of memory; try a smaller --batch-size, --seq-len, --hidden or --vocab-size"
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


def run() -> None:
    sys.exit(main())
