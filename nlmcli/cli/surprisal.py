"""The probability of each token of a text, as a factor of P(x_1 … x_T) = Π P(x_t | x_1 … x_{t-1})."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nlmcli.cli import report

COLORS = ((1, "green"), (3, "cyan"), (6, "yellow"), (10, "magenta"), (math.inf, "red"))  # (largest surprisal in bits, its color)
CONTEXT_WIDTH, PIECE_WIDTH = 28, 40  # cells of a factor's context, and of the text that <unk> replaces
ALTERNATIVE_WIDTH = 16  # cells of a token that would have been more probable


def print_json(tokens: Iterable[dict[str, Any]]) -> None:
    """Print the tokens as JSON, one per line."""
    for token in tokens:
        report.document(token)


def print_tokens(tokens: Sequence[dict[str, Any]], lm: Any = None) -> None:
    """Print the tokens, their probabilities, and the product.  lm: the model, to show each token with its context as a factor."""
    head: tuple[str, ...] = ("token", "P", "bits", "rank")
    rows: list[tuple[str, ...]] = [(token_text(t), report.probability(t["p"], 6), f"{t['bits']:.2f}", str(t["rank"])) for t in tokens]
    if lm is not None:
        factors = [
            f"P({row[0]} | {context})" if context else f"P({row[0]})" for row, context in zip(rows, contexts(tokens, lm), strict=True)
        ]
        rows = [(factor, *row[1:], product) for factor, row, product in zip(factors, rows, products(tokens), strict=True)]
        head = ("factor", "P", "bits", "rank", "product so far")
    if tokens and "alternatives" in tokens[0]:
        rows = [(*row, alternatives_of(t)) for row, t in zip(rows, tokens, strict=True)]
        head = (*head, "most probable")
    first, *rest = report.columns([head, *rows], right=[k for k in range(1, len(head)) if head[k] != "most probable"])
    report.data(first)
    print_colored(zip(rest, (t["bits"] for t in tokens), strict=True))
    nats = math.fsum(t["nats"] for t in tokens)
    report.data(f"\nP(text) = product = {scientific(nats)} = exp(-{nats:.3f})\n")


def alternatives_of(token: dict[str, Any]) -> str:
    """The most probable tokens in the place of one: "their 0.31, the 0.12"."""
    return ", ".join(
        f"{report.truncate(each['token'], ALTERNATIVE_WIDTH)} {report.probability(each['p'], 2)}" for each in token["alternatives"]
    )


def token_text(token: dict[str, Any]) -> str:
    """The token; for <unk>, also the text that it replaces."""
    from nlmcli.text.tokenizer import UNKNOWN, visible

    name, piece = token["token"], visible(token["piece"])
    return f"{report.truncate(piece, PIECE_WIDTH)} ({name})" if name == UNKNOWN != piece else name


def contexts(tokens: Iterable[dict[str, Any]], lm: Any) -> Iterator[str]:
    """The context of each token, cut to CONTEXT_WIDTH; a model that reads by line starts each line with an empty one."""
    from nlmcli.text.tokenizers.whitespace import Whitespace

    context: list[str] = []
    line_end = lm.tokenizer.piece(lm.tokenizer.newline) if lm.settings.by == "line" else None
    for token in tokens:
        yield cut_left(context, " " if isinstance(lm.tokenizer, Whitespace) else "")
        ended = line_end and (token["token"] == line_end or token["piece"].endswith("\n"))
        context = [] if ended else [*context[-CONTEXT_WIDTH:], token["token"]]


def cut_left(names: Sequence[str], separator: str) -> str:
    """As many of the last names as fit into CONTEXT_WIDTH, joined, after an ellipsis if others are cut off."""
    from rich.cells import cell_len

    for k in range(len(names)):
        if cell_len(joined := separator.join(names[k:])) <= CONTEXT_WIDTH:
            return f"…{separator}{joined}" if k else joined
    return "…" if names else ""


def products(tokens: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The product of the probabilities up to each token."""
    nats = 0.0
    for token in tokens:
        nats += token["nats"]
        yield scientific(nats)


def scientific(nats: float) -> str:
    """exp(-nats) in scientific notation, even below the range of a float: 1.234e-5678."""
    if not math.isfinite(nats):
        return "0"
    exponent = math.floor(-nats / math.log(10))
    digits = f"{math.exp(-nats - exponent * math.log(10)):.3f}"
    return f"1.000e{exponent + 1:+03}" if digits == "10.000" else f"{digits}e{exponent:+03}"


def print_colored(rows: Iterable[tuple[str, float]]) -> None:
    """Print lines to stdout; in a terminal colored by their surprisal in bits, with a legend.  rows: (line, bits)."""
    if not sys.stdout.isatty():
        for line, _ in rows:
            report.data(line)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line, bits in rows:
        console.print(Text(line, style=color(bits)), soft_wrap=True)
    legend = [(f"up to {report.number_of(int(bound), 'bit')}", bound) if math.isfinite(bound) else ("more", bound) for bound, _ in COLORS]
    if console.color_system and not console.no_color:
        console.print(Text("  ").join(Text(name, style=color(bound)) for name, bound in legend), soft_wrap=True)


def color(bits: float) -> str:
    return next(name for bound, name in COLORS if bits <= bound)
