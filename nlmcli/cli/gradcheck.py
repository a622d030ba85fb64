"""nlm gradcheck: every gradient against central differences."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.models import neural_names


def gradcheck(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Check only this model.", show_default=False)] = None,
    layer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Check only this layer, a pair of forward and backward functions.", show_default=False),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Check a trained run, on a sample of its parameters.", show_default=False)
    ] = None,
    example: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show a worked example: neuron, linear or softmax.", show_default=False)
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="X", help=r"Largest relative error that passes. \[default: 1e-6; float32: 2e-2]", show_default=False),
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="Precision: float64 or float32.")] = "float64",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Check every gradient against central differences; exit code 1 if one is wrong.

    Example: nlm gradcheck --model rnn
    """
    if example is not None:
        print_example(example, json)
        return 0
    options.announce_compiling(quiet)
    checked, kinds = [], []
    for kind, row in rows({"run": run, "model": model, "layer": layer}, dtype, tolerance):
        checked.append(row)
        kinds.append(kind)
        if not quiet and not json:
            if len(checked) == 1:
                report.data(f"{'':7}{'':22}{'name':6}{'shape':11}{'max grad':>9}{'relative error':>16}  verdict")
            shape = " x ".join(map(str, row.shape))
            verdict = "ok" if row.passed else "WRONG"
            report.data(f"{kind:7}{row.of:22}{row.name:6}{shape:11}{row.largest:9.6f}{row.error:16.1e}  {verdict}")
    wrong = [row for row in checked if not row.passed]
    if json:
        report.document({"passed": not wrong, "rows": [{"kind": kind} | vars(row) for kind, row in zip(kinds, checked, strict=True)]})
    elif wrong:
        report.data(f"{len(wrong)} of {len(checked)} gradients are wrong: " + ", ".join(f"{r.of}.{r.name}" for r in wrong))
    else:
        worst = max(checked, key=lambda row: row.error)
        report.data(f"all {len(checked)} gradients agree; max relative error {worst.error:.1e} ({worst.of}.{worst.name})")
    return 1 if wrong else 0


def rows(selected: dict[str, Any], dtype: str, tolerance: float | None) -> Iterator[tuple[str, Any]]:
    """("run", "model" or "layer"; row) for each gradient of what is selected, or of every layer and every model."""
    from nlmcli.engine.checking import gradcheck as engine

    chosen = [(kind, name) for kind, name in selected.items() if name is not None]
    everything = [("layer", name) for name in engine.all_pairs()] + [("model", name) for name in neural_names()]
    for kind, name in chosen or everything:
        target: dict[str, Any] = {kind: name}
        for row in engine.check(**target, dtype=dtype, tolerance=tolerance):
            yield kind, row


def print_example(name: str, json: bool) -> None:
    """Print a worked example: each quantity with its value, and the numeric value next to it."""
    from nlmcli.engine.checking.examples import example

    lines = example(name)
    if json:
        report.document({"example": name, "lines": [{"what": w, "value": v, "numeric": n} for w, v, n in lines]})
        return
    is_matrix = [getattr(value, "ndim", 0) == 2 for _, value, _ in lines]
    for i, (quantity, value, numeric) in enumerate(lines):
        if i and (is_matrix[i] or is_matrix[i - 1]):
            report.data()
        if is_matrix[i]:
            report.data(quantity)
            matrices = [matrix_rows(v) for v in ([value] if numeric is None else [value, numeric])]
            for k, cells in enumerate(zip(*matrices, strict=True)):
                report.data("  " + ("  numeric " if k == 0 else "          ").join(cells))
        else:
            numbers = [number(value)] if numeric is None else [number(value), "numeric " + number(numeric)]
            report.data(f"{quantity:42}" + "   ".join(numbers))


def number(value: float) -> str:
    return f"{fixed(value, 6):>10}"


def fixed(value: float, digits: int) -> str:
    """The number with that many decimals, and no minus sign before a zero."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}"


def matrix_rows(matrix: Any) -> list[str]:
    """The rows of a matrix as text; a wide matrix has fewer decimals."""
    digits, width = (3, 7) if len(matrix[0]) < 5 else (1, 4)
    return [" ".join(f"{fixed(x, digits):>{width}}" for x in row) for row in matrix]
