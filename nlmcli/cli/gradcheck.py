"""nlm gradcheck: every gradient against central differences."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.engine.checking import examples
from nlmcli.models import neural_names


def gradcheck(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Check only this model.", show_default=False)] = None,
    layer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Check only this layer, a pair of forward and backward functions.", show_default=False),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Check the head of this task, on --model or on every model, one way and both.", show_default=False
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Check a trained run, on a sample of its parameters.", show_default=False)
    ] = None,
    example: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Show a worked example: {', '.join(examples.names())}.", show_default=False)
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
    options.announce_compiling(quiet)
    if example is not None:
        return print_example(example, tolerance, json)
    checked, kinds = [], []
    for kind, row in rows({"run": run, "model": model, "layer": layer, "task": task}, dtype, tolerance):
        checked.append(row)
        kinds.append(kind)
        if not quiet and not json:
            if len(checked) == 1:
                report.data(f"{'':6}{'':22}{'name':6}{'shape':11}{'max grad':>9}{'relative error':>16}  verdict")
            shape = " x ".join(map(str, row.shape))
            verdict = "ok" if row.passed else "WRONG"
            left = f"{kind:6}{row.of:22}{row.name:6}" if len(row.name) < 6 else f"{kind:6}{row.of} {row.name}"
            report.data(f"{left:34}{shape:11}{row.largest:9.6f}{row.error:16.1e}  {verdict}")
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
    """("run", "model", "layer" or "head"; row) for each gradient of what is selected; else of every layer, model and head."""
    from nlmcli.engine.checking import gradcheck as engine

    chosen = [(kind, {kind: name}) for kind, name in selected.items() if name is not None]
    if selected["task"]:
        names = [selected["model"]] if selected["model"] else neural_names()
        chosen = [("head", {"task": selected["task"], "model": name}) for name in names]
    everything = [("layer", {"layer": name}) for name in engine.all_pairs()] + [("model", {"model": name}) for name in neural_names()]
    everything += [("head", {"task": name, "model": "rnn"}) for name in engine.labelled_tasks()]
    for kind, target in chosen or everything:
        for row in engine.check(**target, dtype=dtype, tolerance=tolerance):
            yield kind, row


def print_example(name: str, tolerance: float | None, json: bool) -> int:
    """Print a worked example: each quantity with its value, and the numeric value next to it.  -> 1 if a derivative is wrong, else 0"""
    from nlmcli.engine.checking.examples.base.numeric import disagreeing

    lines = examples.example(name)
    wrong = disagreeing(lines, tolerance)
    if json:
        report.document({"example": name, "lines": [{"what": w, "value": v, "numeric": n} for w, v, n in lines]})
        return 1 if wrong else 0
    dimensions = [getattr(value, "ndim", 0) for _, value, _ in lines]
    for i, (quantity, value, numeric) in enumerate(lines):
        if i and (2 in dimensions[i - 1 : i + 1] or (value is None and lines[i - 1][1] is not None)):
            report.data()
        as_text = heading if value is None else (scalar, vector, matrix)[dimensions[i]]
        for text in as_text(quantity, value, numeric):
            report.data(text)
    if wrong:
        report.data(f"\n{len(wrong)} of {sum(n is not None for *_, n in lines)} derivatives are wrong: {', '.join(wrong)}")
    return 1 if wrong else 0


def heading(quantity: str, value: None, numeric: None) -> list[str]:
    return [quantity]


def scalar(quantity: str, value: float, numeric: float | None) -> list[str]:
    """A number behind its name, and the numeric one behind both."""
    return [f"{quantity:42}{number(value)}" + ("" if numeric is None else f"   numeric {number(numeric)}")]


def vector(quantity: str, value: Any, numeric: Any) -> list[str]:
    """A vector behind its name, and the numeric one below."""
    width = min(42, 80 - 10 * len(value))
    above = f"{quantity:{width}}" + "".join(map(number, value.tolist()))
    return [above] if numeric is None else [above, f"{'numeric':>{width}}" + "".join(map(number, numeric.tolist()))]


def matrix(quantity: str, value: Any, numeric: Any) -> list[str]:
    """The name of a matrix, and its rows, next to those of the numeric one."""
    digits = decimals(value)
    matrices = [matrix_rows(v, digits) for v in ([value] if numeric is None else [value, numeric])]
    sides = zip(*matrices, strict=True)
    return [quantity, *("  " + ("  numeric " if k == 0 else "          ").join(cells) for k, cells in enumerate(sides))]


def number(value: float) -> str:
    """Right-aligned in ten characters: six decimals, none for an integer."""
    return f"{value:>10}" if isinstance(value, int) else f"{fixed(value, 6):>10}"


def fixed(value: float, digits: int) -> str:
    """The number with that many decimals, and no minus sign before a zero."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}"


def decimals(matrix: Any) -> int:
    """How many decimals fit next to the numeric matrix: 3, or 6 for up to three columns that 3 would round; 1 for a wide matrix."""
    if len(matrix[0]) > 4:
        return 1
    return 6 if len(matrix[0]) < 4 and abs(matrix - matrix.round(3)).max() > 1e-9 else 3


def matrix_rows(matrix: Any, digits: int) -> list[str]:
    """The rows of a matrix as text."""
    return [" ".join(f"{fixed(x, digits):>{digits + (4 if digits > 1 else 3)}}" for x in row) for row in matrix]
