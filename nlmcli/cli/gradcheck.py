"""nlm gradcheck: every derivative against central differences."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import options, report


def gradcheck(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only this model.", show_default=False)] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this layer (a pair of functions, forward and backward).", show_default=False)
    ] = None,
    run: Annotated[Path | None, typer.Option(metavar="PATH", help="A trained run, on a sample of its entries.", show_default=False)] = None,
    example: Annotated[
        str | None, typer.Option(metavar="NAME", help="A worked example: neuron, linear or softmax.", show_default=False)
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="The worst relative error that passes. Default: 1e-6; 2e-2 in float32.", show_default=False)
    ] = None,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Check every derivative against central differences; exit 1 if one is wrong.

    Example: nlm gradcheck --model rnn
    """
    from nlmcli.engine import gradcheck as engine

    if example is not None:
        worked_example(example, json)
        return 0
    checked = []
    for row in engine.check(model, layer, run, dtype, tolerance):
        checked.append(row)
        if not quiet and not json:
            if len(checked) == 1:
                report.data(f"{'of':22}{'name':10}{'shape':14}{'largest dL/d':>14}{'error':>12}  verdict")
            shape = " x ".join(map(str, row.shape))
            verdict = "ok" if row.passed else "WRONG"
            report.data(f"{row.of:22}{row.name:10}{shape:14}{row.largest:14.6f}{row.error:12.1e}  {verdict}")
    wrong = [row for row in checked if not row.passed]
    if json:
        report.document({"passed": not wrong, "rows": [vars(row) for row in checked]})
    elif wrong:
        report.data(f"{len(wrong)} of {len(checked)} gradients are wrong: " + ", ".join(f"{r.of}.{r.name}" for r in wrong))
    else:
        worst = max(checked, key=lambda row: row.error)
        report.data(f"all {len(checked)} gradients agree with central differences; worst error {worst.error:.1e} ({worst.of}.{worst.name})")
    return 1 if wrong else 0


def worked_example(name: str, json: bool) -> None:
    """The lines of an example: what, value, and the numeric value beside it."""
    from nlmcli.engine.examples import example

    lines = example(name)
    if json:
        report.document({"example": name, "lines": [{"what": w, "value": v, "numeric": n} for w, v, n in lines]})
        return
    for what, value, numeric in lines:
        shown = [number(value)] if numeric is None else [number(value), "numeric " + number(numeric)]
        if getattr(value, "ndim", 0) == 2:
            report.data(what)
            beside = [rows_of(v) for v in ([value] if numeric is None else [value, numeric])]
            for i, cells in enumerate(zip(*beside, strict=True)):
                report.data("  " + ("   numeric " if i == 0 else "           ").join(cells))
        else:
            report.data(f"{what:42}" + "   ".join(shown))


def number(value: float) -> str:
    return f"{value:10.6f}" if getattr(value, "ndim", 0) == 0 else ""


def rows_of(matrix) -> list[str]:
    return [" ".join(f"{x:7.3f}" for x in row) for row in matrix]
