"""nlm train: learn a language model from a text."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.cli.command import command_with, given
from nlmcli.options import Listed

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP

CONFIG = "YAML file of options by their long names, such as a run's config.yaml; what is typed takes precedence."
RESUME = "Continue the run in --out, or the newest one, from its last checkpoint: the same bits as if it had never stopped."


def fields() -> Iterator[Listed]:
    """The options of a run; the corpus is an argument."""
    from nlmcli.engine.run import settings

    return (each for name, each in settings.options().items() if name != "corpus")


Command = command_with(fields)


def opt(help: str, metavar: str | None = None, *names: str) -> Any:
    """An option that does not determine the model, such as where the run is kept."""
    return typer.Option(*names, help=help.replace("[", r"\["), rich_help_panel="Run", metavar=metavar, show_default=False)


def train(
    ctx: typer.Context,
    corpus: options.Corpus = None,
    out: Annotated[Path | None, opt("The run's folder. [default: runs/CORPUS-MODEL-N]", "PATH")] = None,
    resume: Annotated[bool, opt(RESUME, None, "--resume")] = False,
    preset: Annotated[str | None, opt("Options that ship with nlm; what is typed takes precedence.", "NAME")] = None,
    presets: Annotated[bool, opt("List the presets with their sizes and results.", None, "--presets")] = False,
    config: Annotated[Path | None, opt(CONFIG, "FILE")] = None,
    threads: Annotated[int | None, opt("Number of threads. [default: one for each processor]", "N")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Learn a language model from a text.

    Example: nlm train --model rnn
    """
    if presets:
        list_presets(json)
        return 0
    from nlmcli.cli.progress import Progress
    from nlmcli.engine.api import begin
    from nlmcli.engine.run.settings import Settings
    from nlmcli.engine.training.records import Finished
    from nlmcli.engine.training.train import Training

    typed = given(ctx) | ({"corpus": tuple(corpus)} if corpus else {})
    training: Any
    if resume:
        from nlmcli.engine.run.language_model import newest_run

        training = Training.resumed(out or newest_run(), chosen(preset, config, typed), threads)
    else:
        training = begin(Settings.of(**chosen(preset, config, typed)), out, threads)
    progress = Progress(training.settings, quiet)
    before: dict[int, Any] = {number: signal.signal(number, lambda *_: interrupt(training, progress, before)) for number in SIGNALS}
    try:
        with progress:
            for record in training.run():
                progress.show(record)
    finally:
        restore(before)
    assert isinstance(record, Finished)  # the last record of every run
    if json:
        report.document(vars(record))
    elif not quiet:
        progress.summary(record)
    return 1 if record.diverged else 130 if record.interrupted else 0


def chosen(preset: str | None, config: Path | None, typed: dict[str, Any]) -> dict[str, Any]:
    """The options of a preset, over them those of a file, over them those on the command line."""
    from nlmcli.engine.run import presets
    from nlmcli.engine.run.config import read_options
    from nlmcli.engine.run.settings import LENGTHS

    found: dict[str, Any] = {}
    for more in (preset and presets.preset(preset).options, config and read_options(config), typed):
        if more and not set(LENGTHS).isdisjoint(more):  # --minutes in place of a preset's steps
            found = {name: value for name, value in found.items() if name not in LENGTHS}
        found |= more or {}
    return found


def list_presets(json: bool) -> None:
    """Name, what it is, and what to expect."""
    from nlmcli.engine.run.presets import presets

    if json:
        report.document({"presets": [vars(each) for each in presets()]})
        return
    for each in presets():
        report.data(f"{each.name}\n  {each.about}\n  {each.result}")


def interrupt(training: Any, progress: Any, before: dict[int, Any]) -> None:
    """The first Ctrl-C, or request to end, ends the run after this step, saved; the second at once."""
    training.stop = True
    restore(before)
    progress.interrupt()


def restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
