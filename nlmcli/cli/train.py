"""nlm train: train a language model on a text."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.cli.command import command_with, typed_options
from nlmcli.options import OptionField

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP

OUT = "Folder of the run: checkpoints, metrics and config.yaml. [default: runs/CORPUS-MODEL-N]"
RESUME = "Resume the run in --out, or the newest one, from its last checkpoint; the result is the same as without the interruption."
PRESET = "Use the options of a preset that ships with nlm; options on the command line override them."
CONFIG = "Use the options in a YAML file, such as a run's config.yaml; options on the command line override them."


def fields() -> Iterator[OptionField]:
    """The options of a run but the corpus, which is an argument."""
    from nlmcli.engine.run import settings

    return (each for name, each in settings.options().items() if name != "corpus")


Command = command_with(fields)


def opt(help: str, metavar: str | None = None, *names: str) -> Any:
    """An option that does not affect the trained model directly, such as where the run is saved."""
    return typer.Option(*names, help=help.replace("[", r"\["), rich_help_panel="Run", metavar=metavar, show_default=False)


def train(
    ctx: typer.Context,
    corpus: options.Corpus = None,
    out: Annotated[Path | None, opt(OUT, "PATH")] = None,
    resume: Annotated[bool, opt(RESUME, None, "--resume")] = False,
    preset: Annotated[str | None, opt(PRESET, "NAME")] = None,
    presets: Annotated[bool, opt("List the presets with their results, and exit.", None, "--presets")] = False,
    config: Annotated[Path | None, opt(CONFIG, "FILE")] = None,
    threads: Annotated[int | None, opt("Number of threads. [default: one per CPU]", "N")] = None,
    plot: Annotated[Path | None, opt("Plot the losses to a .png or .svg file at the end.", "FILE")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Train a language model on a text.

    Example: nlm train --model rnn
    """
    if presets:
        list_presets(json)
        return 0
    from nlmcli.cli.display import Display
    from nlmcli.engine.api import begin
    from nlmcli.engine.gradient.ranks import ranks
    from nlmcli.engine.run.settings import Settings
    from nlmcli.engine.training.initial import with_init
    from nlmcli.engine.training.records import Finished
    from nlmcli.engine.training.train import Training
    from nlmcli.models import MODELS

    here = ranks()
    quiet, json = quiet or here.rank > 0, json and here.rank == 0
    if plot is not None:
        from nlmcli.engine.viewing.compare import save_curves
        from nlmcli.engine.viewing.figures import new_figure

        new_figure(plot, (1, 1))  # an unknown ending is said now, not after an hour
    typed = typed_options(ctx) | ({"corpus": tuple(corpus)} if corpus else {})
    options.announce_compiling(quiet)
    options.announce_dropped(quiet)
    training: Any
    if resume:
        from nlmcli.engine.run.saved import newest_run

        training = Training.resumed(out or newest_run(), merged_options(preset, config, typed), threads)
    else:
        settings = Settings.of(**with_init(merged_options(preset, config, typed)))
        if here.rank > 0 and not MODELS.get(settings.model).neural:
            return 0  # rank 0 counts
        training = begin(settings, out, threads)
    display = Display(training.settings, quiet)
    handlers: dict[int, Any] = {number: signal.signal(number, lambda *_: interrupt(training, display, handlers)) for number in SIGNALS}
    try:
        with display:
            for record in training.run():
                display.show(record)
    finally:
        restore(handlers)
    assert isinstance(record, Finished)  # the last record of every run
    if plot is not None and here.rank == 0:
        save_curves(Path(record.run), plot)
    if json:
        report.document({name: value for name, value in vars(record).items() if name != "figure" or value})
    elif not quiet:
        display.summary(record)
    return 1 if record.diverged else 130 if record.interrupted else 0


def merged_options(preset: str | None, config: Path | None, typed: dict[str, Any]) -> dict[str, Any]:
    """The options of a preset, overridden by those of a file, overridden by those on the command line."""
    from nlmcli.engine.run import presets
    from nlmcli.engine.run.config import read_options
    from nlmcli.engine.run.settings import LENGTHS

    merged: dict[str, Any] = {}
    for source in (preset and presets.preset(preset).options, config and read_options(config), typed):
        if source and not set(LENGTHS).isdisjoint(source):  # such as --minutes, which overrides a preset's steps
            merged = {name: value for name, value in merged.items() if name not in LENGTHS}
        merged |= source or {}
    return merged


def list_presets(json: bool) -> None:
    """Print the presets: name, description, and the result that was measured."""
    from nlmcli.engine.run.presets import presets

    if json:
        report.document({"presets": [vars(each) for each in presets()]})
        return
    for each in presets():
        report.data(f"{each.name}\n  {each.about}\n  {each.result}")


def interrupt(training: Any, display: Any, handlers: dict[int, Any]) -> None:
    """The first SIGINT or SIGTERM ends the run after this step and saves it; the second ends the process immediately."""
    training.stop = True
    restore(handlers)
    display.interrupt()


def restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
