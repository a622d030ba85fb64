"""nlm inspect: the contents of a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import insight, options, report
from nlmcli.options import check_at_least

ABOUT = (("step", ","), ("valid_loss", ".4f"), ("bits_per_character", ".4f"))  # (key of the checkpoint's `about`, format)


Run = Annotated[Path | None, typer.Argument(metavar="RUN", help=f"{options.RUN} {options.NEWEST}", show_default=False)]
Neighbors = Annotated[
    str | None, typer.Option(metavar="WORD", help="List the nearest neighbors of this word's embedding, by cosine.", show_default=False)
]
Top = Annotated[int, typer.Option(metavar="K", help="Number of neighbors.")]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Plot the embeddings, projected to two dimensions by PCA, to a .png or .svg file.", show_default=False
    ),
]
Units = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="Show the hidden units while the model reads this text, the most telling ones first.", show_default=False
    ),
]
Unit = Annotated[
    int | None, typer.Option(metavar="N", help=r"The unit that --units follows. \[default: the most telling one]", show_default=False)
]
Attention = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Show what a Transformer attends to while it reads this text.", show_default=False)
]
StepSizes = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Show how large Mamba's step is at each token of this text, by layer.", show_default=False),
]
Orders = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Show how much context of each token an n-gram model has seen.", show_default=False)
]


def inspect(
    run: Run = None,
    neighbors: Neighbors = None,
    top: Top = 10,
    plot: Plot = None,
    units: Units = None,
    unit: Unit = None,
    attention: Attention = None,
    step_sizes: StepSizes = None,
    orders: Orders = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Inspect a trained model: its settings and parameters, the nearest neighbors
    of a word, or what goes on inside while it reads a text.

    Example: nlm inspect --neighbors students
    """
    from nlmcli.engine.viewing import inspect as engine

    check_at_least("top", top, 1)
    options.refuse_together(neighbors=neighbors, units=units, attention=attention, step_sizes=step_sizes, orders=orders)
    if units is None:
        options.refuse_without("units", unit=unit)
    if any(text is not None for text in (units, attention, step_sizes, orders)):
        lm = options.load(run)
        if units is not None:
            insight.show_units(lm, units, unit, json, quiet)
        elif attention is not None:
            insight.show_attention(lm, attention, json)
        elif step_sizes is not None:
            insight.show_step_sizes(lm, step_sizes, json)
        elif orders is not None:
            insight.show_orders(lm, orders, json)
        return
    lm = options.load_any(run)
    if plot:
        engine.plot_embeddings(lm, plot)
    if neighbors is not None:
        nearest = engine.neighbors(lm, neighbors, top)
        if json:
            report.document({"word": neighbors, "neighbors": [{"token": token, "cosine": cosine} for token, cosine in nearest]})
            return
        for line in report.columns([(report.printable(t), f"{c:.4f}", report.bar(max(c, 0.0), 30)) for t, c in nearest], right=(1,)):
            report.data(line)
        return
    parameters = engine.parameters(lm)
    if json:
        report.document({"settings": lm.settings.to_dict(), "about": lm.about, "parameters": [vars(p) for p in parameters]})
        return
    tokenizer = lm.tokenizer
    size = sum(p.size for p in parameters)
    report.pairs(
        [
            ("model", f"{lm.settings.model}, {report.number_of(size, 'parameter')}"),
            ("tokenizer", f"{tokenizer.name}, {report.number_of(len(tokenizer), 'type')}"),
            *((name.replace("_", " "), format(lm.about[name], spec)) for name, spec in ABOUT if lm.about.get(name) is not None),
            *(
                (name, report.printable(setting_text(value)))
                for name, value in lm.settings.to_dict().items()
                if name not in ("model", "tokenizer")
            ),
        ]
    )
    head = ("name", "shape", "size", "mean", "rms", "max abs")
    rows = [(p.name, " x ".join(map(str, p.shape)), f"{p.size:,}", f"{p.mean:.4f}", f"{p.rms:.4f}", f"{p.largest:.4f}") for p in parameters]
    report.data()
    for line in report.columns([head, *rows], right=(2, 3, 4, 5)):
        report.data(line)


def setting_text(value: object) -> str:
    """A setting as text; the values of a list separated by commas."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
