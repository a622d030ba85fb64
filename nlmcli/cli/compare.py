"""nlm compare: several runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import options, report
from nlmcli.errors import InputError

MARKS = "abcdefghijklmnopqrstuvwxyz"


def compare(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN", help=r"Folders of runs, or of a sweep. \[default: all runs under ./runs]", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also plot the curves to a .png or .svg file.", show_default=False)
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare runs: a table, the best run first, and their validation loss curves.

    Example: nlm compare
    """
    from nlmcli.cli import curves
    from nlmcli.engine.sweep.results import is_sweep
    from nlmcli.engine.viewing.compare import Run, save_plot
    from nlmcli.engine.viewing.compare import compare as read_runs

    if runs and any(map(is_sweep, runs)):
        if len(runs) > 1:
            raise InputError("a sweep is compared by itself; give its folder only")
        compare_trials(runs[0], plot, json, quiet)
        return
    sorted_runs = read_runs(tuple(runs or ()))
    if plot:
        save_plot(sorted_runs, plot)
    if json:
        report.document({"runs": [vars(run) for run in sorted_runs]})
        return

    def row(mark: str, run: Run) -> tuple[str, ...]:
        numbers = (run.parameters, ","), (run.tokens_per_second, ",.0f"), (run.valid_loss, ".4f"), (run.bits_per_character, ".4f")
        duration = "" if run.seconds is None else report.duration(run.seconds)
        figure = ["" if run.figure is None else f"{run.figure[0]} {run.figure[1]:.4f}"] if has_figures else []
        return mark, report.printable(run.run), run.model, *("" if n is None else format(n, spec) for n, spec in numbers), *figure, duration

    has_figures = any(run.figure for run in sorted_runs)
    loss = "loss" if has_figures else "nats/token"
    head = ("", "run", "model", "parameters", "tokens/s", loss, "bits/character", *["best"] * has_figures, "time")
    marks = [MARKS[k] if k < len(MARKS) else " " for k in range(len(sorted_runs))]
    for line in report.columns([head, *map(row, marks, sorted_runs)], right=range(3, len(head))):
        report.data(line)
    if len({run.held_out for run in sorted_runs}) > 1 and not quiet:
        report.message("these runs have different held-out texts; to compare them on the same text: nlm eval FILE --run A --run B")
    lines = curves.plot([curves.Curve(mark, run.valid) for mark, run in zip(marks, sorted_runs, strict=True)], unit=" s")
    if lines and not quiet:
        report.data(f"\nvalidation loss{'' if has_figures else ' in nats per token'} over training time\n")
        for line in lines:
            report.data(line)


def compare_trials(folder: Path, plot: Path | None, json: bool, quiet: bool) -> None:
    """Show the points of a sweep, best first."""
    from nlmcli.cli.sweep import show_results
    from nlmcli.engine.sweep.results import opened, points_of
    from nlmcli.engine.viewing.sweep_plot import save_sweep_plot

    study = opened(folder)
    if plot:
        save_sweep_plot(study.space, points_of(study.space, study.trials()), plot)
    show_results(study, json, quiet, limit=None)
