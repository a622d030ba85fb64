"""The tokens of a text, one a line: how probable each was, as a factor of P(x_1 … x_T) = Π P(x_t | x_1 … x_{t-1})."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nlmcli.cli import report

SCALE = ((1, "green"), (3, "cyan"), (6, "yellow"), (10, "magenta"), (math.inf, "red"))  # colours up to so many bits
BEFORE, PIECE = 28, 40  # cells of a factor's condition, and of what stood in the text


def lines(listed: Iterable[dict[str, Any]]) -> None:
    """The tokens as JSON, one a line."""
    for token in listed:
        report.document(token)


def show(listed: Sequence[dict[str, Any]], lm: Any = None) -> None:
    """The tokens, their probabilities, and the product.  lm: the model, if each is to be shown as a factor."""
    head: tuple[str, ...] = ("token", "P", "bits", "rank")
    rows: list[tuple[str, ...]] = [(shown(t), report.probability(t["p"], 6), f"{t['bits']:.2f}", str(t["rank"])) for t in listed]
    if lm is not None:
        before = conditions(listed, lm)
        factors = [f"P({row[0]} | {given})" if given else f"P({row[0]})" for row, given in zip(rows, before, strict=True)]
        rows = [(factor, *row[1:], far) for factor, row, far in zip(factors, rows, products(listed), strict=True)]
        head = ("factor", "P", "bits", "rank", "product so far")
    first, *rest = report.columns([head, *rows], right=range(1, len(head)))
    report.data(first)
    coloured(zip(rest, (t["bits"] for t in listed), strict=True))
    nats = math.fsum(t["nats"] for t in listed)
    report.data(f"\nP(text) = product = {power(nats)} = exp(-{nats:.3f})\n")


def shown(token: dict[str, Any]) -> str:
    """The token; where it is <unk>, what stood in the text beside it."""
    from nlmcli.text.tokenizer import UNKNOWN, visible

    name, piece = token["token"], visible(token["piece"])
    return f"{report.cut(piece, PIECE)} ({name})" if name == UNKNOWN != piece else name


def conditions(listed: Iterable[dict[str, Any]], lm: Any) -> Iterator[str]:
    """What the model has read before each token, as far as there is room; read by line, each line begins with nothing."""
    from nlmcli.text.tokenizers.whitespace import Whitespace

    before: list[str] = []
    line_end = lm.tokenizer.piece(lm.tokenizer.newline) if lm.settings.by == "line" else None
    for token in listed:
        yield last(before, " " if isinstance(lm.tokenizer, Whitespace) else "")
        ended = line_end and (token["token"] == line_end or token["piece"].endswith("\n"))
        before = [] if ended else [*before[-BEFORE:], token["token"]]


def last(names: Sequence[str], blank: str) -> str:
    """The last of the names that there is room for, joined."""
    from rich.cells import cell_len

    for k in range(len(names)):
        if cell_len(joined := blank.join(names[k:])) <= BEFORE:
            return f"…{blank}{joined}" if k else joined
    return "…" if names else ""


def products(listed: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The product of the probabilities up to each token."""
    nats = 0.0
    for token in listed:
        nats += token["nats"]
        yield power(nats)


def power(nats: float) -> str:
    """exp(-nats), however small it is: 1.234e-5678."""
    if not math.isfinite(nats):
        return "0"
    exponent = math.floor(-nats / math.log(10))
    digits = f"{math.exp(-nats - exponent * math.log(10)):.3f}"
    return f"1.000e{exponent + 1:+03}" if digits == "10.000" else f"{digits}e{exponent:+03}"


def coloured(rows: Iterable[tuple[str, float]]) -> None:
    """Lines and how many bits each was worth, on stdout; in a terminal, in the colours of the scale."""
    if not sys.stdout.isatty():
        for line, _ in rows:
            report.data(line)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line, bits in rows:
        console.print(Text(line, style=colour(bits)), soft_wrap=True)
    bounds = [(f"up to {report.number_of(int(bound), 'bit')}", bound) if math.isfinite(bound) else ("more", bound) for bound, _ in SCALE]
    if console.color_system and not console.no_color:
        console.print(Text("  ").join(Text(name, style=colour(bound)) for name, bound in bounds), soft_wrap=True)


def colour(bits: float) -> str:
    return next(name for bound, name in SCALE if bits <= bound)
