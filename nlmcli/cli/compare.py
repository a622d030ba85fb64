"""nlm compare: several runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import options, report

MARKS = "abcdefghijklmnopqrstuvwxyz"


def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN", help="Folders of runs. None: all under ./runs.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curves into a .png or .svg file too.", show_default=False)
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare runs: a table, the best first, and how their validation losses went.

    Example: nlm compare
    """
    from nlmcli.cli import curves
    from nlmcli.engine.viewing.compare import Run, save_plot
    from nlmcli.engine.viewing.compare import compare as read_all

    found = read_all(tuple(runs or ()))
    if plot:
        save_plot(found, plot)
    if json:
        report.document({"runs": [vars(run) for run in found]})
        return

    def row(mark: str, run: Run) -> tuple[str, ...]:
        numbers = (run.parameters, ","), (run.tokens_per_second, ",.0f"), (run.valid_loss, ".4f"), (run.bits_per_character, ".4f")
        duration = "" if run.seconds is None else report.duration(run.seconds)
        return mark, report.printable(run.run), run.model, *("" if n is None else format(n, spec) for n, spec in numbers), duration

    head = ("", "run", "model", "parameters", "tokens/s", "nats/token", "bits/character", "time")
    marks = [MARKS[k] if k < len(MARKS) else " " for k in range(len(found))]
    for line in report.columns([head, *map(row, marks, found)], right=range(3, 8)):
        report.data(line)
    if len({run.held_out for run in found}) > 1 and not quiet:
        report.message("these runs held out different texts; to compare them on the same: nlm eval FILE --run A --run B")
    lines = curves.plot([curves.Curve(mark, run.valid) for mark, run in zip(marks, found, strict=True)], unit=" s")
    if lines and not quiet:
        report.data("\nvalidation loss, nats per token, by seconds of training\n")
        for line in lines:
            report.data(line)
