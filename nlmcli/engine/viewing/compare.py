"""Several runs beside each other: what each is, how far it came, and how its losses went."""

from dataclasses import dataclass
from pathlib import Path

from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.language_model import RUNS
from nlmcli.engine.training.metrics import read_rows
from nlmcli.engine.viewing.pictures import new_figure, save_figure
from nlmcli.errors import InputError


@dataclass(frozen=True)
class Run:
    """One run; what is not known is None.

    held_out: a digest of the text that its losses are about.  valid: (seconds, nats per token of that) of every evaluation.
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


def compare(paths: tuple[Path, ...] = ()) -> list[Run]:
    """These runs, or all under ./runs, the best first.  Raises InputError where there is none."""
    folders = list(paths) or sorted(path.parent for path in RUNS.glob("*/last.npz"))
    if not folders:
        raise InputError(f"no run under ./{RUNS}; train one with: nlm train")
    return sorted(map(read, folders), key=lambda run: merit(run))


def merit(run: Run) -> tuple[bool, float]:
    """Fewer bits per character first: that unit alone does not depend on the tokenizer."""
    return run.bits_per_character is None, run.bits_per_character or 0.0


def read(folder: Path) -> Run:
    """What a run's folder says about it.  Raises InputError where it is none."""
    _, about = checkpoint.load(folder / "last.npz")
    rows = read_rows(folder / "metrics.csv")
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
        valid=[(float(row["seconds"]), float(row["valid_loss"])) for row in rows if row.get("valid_loss")],
    )


def save_plot(runs: list[Run], path: Path) -> None:
    """The validation curves as a picture.  Raises InputError where it cannot be drawn."""
    figure = new_figure(path, (8, 5))
    axes = figure.add_subplot(xlabel="seconds", ylabel="validation loss (nats per token)")
    for run in runs:
        if run.valid:
            axes.plot(*zip(*run.valid, strict=True), marker=".", label=f"{run.run} ({run.model})")
    if any(run.valid for run in runs):
        axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)
