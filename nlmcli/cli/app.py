"""The command `nlm`: its subcommands, and how all of them handle errors, interrupts and closed pipes."""

import os
import sys
import traceback
from typing import Annotated, Any, Protocol, runtime_checkable

# The matrix products of a shard use one thread; the other threads compute other shards. BLAS reads these when NumPy is imported.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import typer  # noqa: E402

from nlmcli import __version__  # noqa: E402
from nlmcli.cli import compare, eval, export, generate, gradcheck, inspect, options, predict, report, report_page, sweep, tokenize, train  # noqa: E402
from nlmcli.cli.command import Command, Group  # noqa: E402
from nlmcli.errors import InputError  # noqa: E402

# Typer bundles Click under a private name; this is the base class of Click's errors.
ClickException = next(kind for kind in typer.BadParameter.__mro__ if issubclass(kind, Exception) and kind.__name__ == "ClickException")


@runtime_checkable
class HasMessage(Protocol):
    """An error that formats its own message, as Click's do."""

    def format_message(self) -> str: ...


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(requested: bool) -> None:
    if requested:
        print(f"nlm {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.", show_default=False)
]
Debug = Annotated[
    bool,
    typer.Option("--debug", callback=options.enable_debug, is_eager=True, help="Show the traceback of an error. Every command accepts it."),
]


@app.callback(epilog="Exit codes: 0 success, 1 wrong gradients or diverged training, 2 invalid usage or input, 130 interrupted.")
def nlm(version: Version = False, debug: Debug = False) -> None:
    """Train, evaluate, inspect and sample from tiny neural language models, on your own text and your own CPU.

    Quick start: nlm train, then nlm generate --prompt "students opened their"
    """


app.command(cls=tokenize.Command)(tokenize.tokenize)
app.command(cls=train.Command)(train.train)
app.command(cls=Command)(eval.eval)
app.command(cls=generate.Command)(generate.generate)
app.command(cls=Command)(predict.predict)
for command in (gradcheck.gradcheck, inspect.inspect, compare.compare, export.export, sweep.sweep, report_page.report):
    app.command(cls=Command)(command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line.  -> its exit code. Invalid usage and input: one sentence on stderr and exit code 2."""
    flags: dict[str, Any] = {}
    try:
        code = app(sys.argv[1:] if arguments is None else arguments, prog_name="nlm", standalone_mode=False, obj=flags)
        return code if isinstance(code, int) else 0
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        report.discard(sys.stdout)
        return 0
    except (KeyboardInterrupt, typer.Abort, SystemError) as error:
        if isinstance(error, SystemError) and not isinstance(error.__cause__, KeyboardInterrupt):  # Numba's, for Ctrl-C in a kernel
            raise
        return failed("interrupted", 130)
    except (InputError, ClickException, MemoryError, OSError) as error:
        if flags.get("debug") and not isinstance(error, ClickException):
            raise
        text = error_message(error, str(flags.get("command", "")))
        return failed(f"nlm: {report.printable(text)}" if text else "", 2)


def failed(text: str, code: int) -> int:
    """Say why, unless another rank does; if this rank alone has failed, end all of them.  -> the exit code"""
    from nlmcli.engine.gradient import ranks

    alone = not ranks.met_by_all()
    if text and (alone or ranks.number() == 0):
        report.message(text)
    if alone:
        ranks.end_all(code)
    return code


# What makes a command need less memory.
ROOM = {
    "train": "try a smaller --batch-size, --seq-len, --hidden or --vocab-size",
    "tokenize": "try a smaller --vocab-size, or a part of the text",
    "generate": "try a smaller --num, --beam or --length, or a smaller model",
    "predict": "try a smaller model",
    "eval": "try a part of the text, or a smaller model",
}


def error_message(error: BaseException, command: str = "") -> str:
    """What went wrong in a command, in one sentence. Empty if the help was printed instead."""
    if isinstance(error, MemoryError):
        return f"out of memory; {ROOM.get(command, 'close other programs')}"
    if isinstance(error, OSError):
        return f"cannot read or write {error.filename or 'a file'} ({(error.strerror or str(error)).lower()})"
    return error.format_message() if isinstance(error, HasMessage) else str(error)


def run() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the process started
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        report.write_anything(getattr(sys, name))
    if not os.environ.get("COLUMNS", "1").isdigit() or not int(os.environ.get("COLUMNS", "1")):
        del os.environ["COLUMNS"]  # no width that anything could be shown in
    try:
        code = main()
    except Exception:
        end_with_traceback()
        raise
    sys.exit(code)


def end_with_traceback() -> None:
    """End all ranks for an error of this one that nobody foresaw; nothing if there is only one."""
    from nlmcli.engine.gradient import ranks

    if ranks.started() and not ranks.met_by_all():
        traceback.print_exc()
        ranks.end_all(1)
