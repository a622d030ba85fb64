"""A comparison of runs: model, size, best validation loss, and validation curve of each."""

from dataclasses import dataclass
from pathlib import Path

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.ownership import RUNS
from nlmcli.engine.training.metrics import curve, read_rows
from nlmcli.engine.viewing.figures import add_legend, new_axes, new_figure, save_figure
from nlmcli.errors import InputError


@dataclass(frozen=True)
class Run:
    """One run; unknown values are None.

    held_out: a digest of the text that its losses refer to.  valid: (seconds, loss on that text) of every evaluation.
    figure: name and value of the task's own figure at the best evaluation, such as its accuracy; None of a language model.
    """

    run: str
    model: str
    parameters: int | None
    steps: int
    tokens_per_second: float | None
    valid_loss: float | None
    bits_per_character: float | None
    seconds: float | None
    held_out: str | None
    valid: list[tuple[float, float]]
    figure: tuple[str, float] | None = None


def compare(paths: tuple[Path, ...] = ()) -> list[Run]:
    """The runs in these folders, by default all under ./runs, best first.  Raises InputError if there is none."""
    folders = list(paths) or sorted(path.parent for path in RUNS.glob("*/last.npz"))
    if not folders:
        raise InputError(f"no run under ./{RUNS}; train one with: nlm train")
    return sorted(map(read, folders), key=lambda run: sort_key(run))


def sort_key(run: Run) -> tuple[int, float]:
    """Bits per character, ascending: nats per token depend on the tokenizer. Runs of other tasks follow, by their own figure,
    descending; runs without validation come last."""
    if run.figure:
        return 1, -run.figure[1]
    return (2, 0.0) if run.bits_per_character is None else (0, run.bits_per_character)


def read(folder: Path) -> Run:
    """Read a run from its folder.  Raises InputError if there is no checkpoint."""
    about = checkpoint.description(folder / "last.npz")
    rows, figure = read_rows(folder / "metrics.csv"), about.get("figure")
    return Run(
        run=str(folder),
        model=about["model"],
        parameters=about.get("parameters"),
        steps=about.get("step", 0),
        tokens_per_second=about.get("tokens_per_second"),
        valid_loss=about.get("best"),
        bits_per_character=about.get("bits_per_character"),
        seconds=about.get("seconds"),
        held_out=(about.get("texts") or {}).get("valid"),
        valid=curve(rows, "valid_loss", "seconds"),
        figure=figure and (figure[0], figure[1]),
    )


def save_plot(runs: list[Run], path: Path) -> None:
    """Plot the validation curves to a file.  Raises InputError if they cannot be plotted."""
    figure = new_figure(path, (8, 5))
    axes = new_axes(figure, xlabel="seconds", ylabel="validation loss (nats per token)")
    for run in runs:
        if run.valid:
            axes.plot(*zip(*run.valid, strict=True), marker=".", label=f"{run.run} ({run.model})")
    add_legend(axes)
    save_figure(figure, path)


def save_curves(folder: Path, path: Path) -> None:
    """Plot the training and validation loss of a run against its steps, to a file.  Raises InputError if they cannot be plotted."""
    figure = new_figure(path, (8, 5))
    axes = new_axes(figure, xlabel="step", ylabel="loss")
    rows = read_rows(folder / "metrics.csv")
    for name, label in (("train_loss", "training"), ("valid_loss", "validation")):
        if points := curve(rows, name):
            axes.plot(*zip(*points, strict=True), marker="." if name == "valid_loss" else "", label=label)
    add_legend(axes)
    save_figure(figure, path)
