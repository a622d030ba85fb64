"""What goes on inside a model while it reads a text, in a terminal: hidden units, attention, orders of n-grams."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from nlmcli.cli import report

SHADES = " ·░▒▓█"  # of a probability from 0 to 1
COLD, WARM = "blue", "red"  # of negative and positive activations
STRONG = 1 / 3  # from which share of the largest activation on a token is colored
SHOWN_UNITS, SHOWN_TOKENS = 8, 40
RANKED_CHARACTERS = 20_000  # of the held-out text, by which units are ranked
ORDER_COLORS = ("red", "yellow", "green", "cyan", "blue")


def show_units(lm: Any, text: str, number: int | None, json: bool, quiet: bool) -> None:
    """The units that tell most about the held-out text, and the text colored by one of them."""
    from nlmcli.engine.viewing import inside

    reading = inside.read(lm, text)
    h = inside.hidden(lm, reading)
    ranked_on, units = ranking(lm, h, reading)
    chosen = units[0].unit if number is None else number
    values = inside.unit(h, chosen)
    if json:
        tokens = [{"token": token, "activation": float(v)} for token, v in zip(reading.tokens, h[:, chosen], strict=True)]
        report.document({"ranked_on": ranked_on, "units": [vars(each) for each in units], "unit": chosen, "tokens": tokens})
        return
    head = ("unit", "tells", "share")
    rows = [(str(each.unit), each.property, f"{each.share:.2f}") for each in units[:SHOWN_UNITS]]
    for line in report.columns([head, *rows], right=(0, 2)):
        report.data(line)
    if not quiet:
        report.message(f"share: of the property's variance over {ranked_on}, explained by the unit alone (r²)")
    report.data(f"\nunit {chosen} after each token, from -1 to 1 of its largest value here\n")
    print_values(reading.tokens, values)


def ranking(lm: Any, h: Any, reading: Any) -> tuple[str, list[Any]]:
    """All units, the most telling first, by the held-out text, or by the text itself if there is none.  -> which, and the units"""
    from nlmcli.engine.scoring.evaluate import held_out_texts
    from nlmcli.engine.viewing import inside
    from nlmcli.errors import InputError

    try:
        valid = held_out_texts(lm).valid
        longer = str(valid.cut(0, min(RANKED_CHARACTERS, valid.characters)))
        passage = inside.read(lm, longer)
        return "the held-out text", inside.telling_units(inside.hidden(lm, passage), passage.pieces)
    except InputError:  # it has none, or it is gone
        return "this text", inside.telling_units(h, reading.pieces)


def print_values(tokens: Sequence[str], values: Any) -> None:
    """Tokens with a value from -1 to 1 each: colored in a terminal, else one per line with a bar."""
    if not sys.stdout.isatty():
        for line in report.columns([(token, f"{v:+.2f}", signed_bar(v)) for token, v in zip(tokens, values, strict=True)], right=(1,)):
            report.data(line)
        return
    styles = [f"{'bold ' if abs(v) > 2 * STRONG else ''}{WARM if v > 0 else COLD}" if abs(v) > STRONG else "dim" for v in values]
    print_styled(tokens, styles)


def print_styled(tokens: Sequence[str], styles: Sequence[str]) -> None:
    """A text in a terminal, each token in its style."""
    from rich.console import Console
    from rich.text import Text

    text = Text()
    for token, style in zip(tokens, styles, strict=True):
        text.append(token + ("\n" if "\\n" in token or token == "<eos>" else " " if len(token) > 1 else ""), style=style)
    Console().print(text, soft_wrap=True)


def signed_bar(value: float, width: int = 10) -> str:
    """A bar to the left or the right of the middle."""
    length = round(abs(value) * width)
    bar = "█" * length
    return f"{bar:>{width}}│" if value < 0 else f"{'':{width}}│{bar}"


def show_attention(lm: Any, text: str, json: bool) -> None:
    """For each layer and head a table of the tokens, dark where one attends to another."""
    from nlmcli.engine.viewing import inside

    reading = inside.read(lm, text)
    shares = inside.attention(lm, reading)
    tokens = ["(start)", *reading.tokens]
    if json:
        report.document({"tokens": tokens, "attention": shares})
        return
    for l, heads in enumerate(shares):
        for h, matrix in enumerate(heads):
            report.data(f"{'' if l == h == 0 else chr(10)}layer {l + 1}, head {h + 1}: each row is a token, dark where it attends")
            for line in matrix_lines(tokens, matrix):
                report.data(line)


def matrix_lines(tokens: Sequence[str], matrix: Any) -> Iterator[str]:
    """The last rows and columns of a matrix, shaded, each row with its token."""
    first = max(0, len(tokens) - SHOWN_TOKENS)
    rows = [("…", "")] if first else []
    for t in range(first, len(tokens)):
        cells = "".join(SHADES[min(len(SHADES) - 1, round(float(p) * (len(SHADES) - 1) + 0.3))] * 2 for p in matrix[t, first : t + 1])
        rows.append((report.truncate(tokens[t], 12), cells))
    yield from report.columns(rows)


def show_step_sizes(lm: Any, text: str, json: bool) -> None:
    """Each token with the mean Δ of every layer, and a bar from the least to the largest of the layer."""
    from nlmcli.engine.viewing import inside

    reading = inside.read(lm, text)
    means = inside.step_sizes(lm, reading).mean(axis=2)
    if json:
        report.document({"tokens": [{"token": t, "step_sizes": row.tolist()} for t, row in zip(reading.tokens, means, strict=True)]})
        return
    low, high = means.min(axis=0), means.max(axis=0)
    head = ("token", *(cell for l in range(means.shape[1]) for cell in (f"layer {l + 1}", "")))
    rows = []
    for token, row in zip(reading.tokens, means, strict=True):
        bars = [report.bar(float((d - a) / (b - a)) if b > a else 0.0, 10) for d, a, b in zip(row, low, high, strict=True)]
        rows.append((token, *(cell for d, bar in zip(row, bars, strict=True) for cell in (f"{d:.4f}", bar))))
    for line in report.columns([head, *rows], right=range(1, len(head), 2)):
        report.data(line)


def show_orders(lm: Any, text: str, json: bool) -> None:
    """Each token with how much of its context was seen together with it in training."""
    from nlmcli.engine.viewing import inside

    reading = inside.read(lm, text)
    seen = inside.orders(lm, reading)
    if json:
        rows = [{"token": token, "context_seen": int(n)} for token, n in zip(reading.tokens, seen, strict=True)]
        report.document({"tokens": rows})
        return
    most = int(lm.settings.model_config().context)
    if sys.stdout.isatty():
        print_styled(reading.tokens, [ORDER_COLORS[min(len(ORDER_COLORS) - 1, int(n) + 1)] for n in seen])
        report.data()
    else:
        for line in report.columns([(token, answer(int(n))) for token, n in zip(reading.tokens, seen, strict=True)]):
            report.data(line)
        report.data()
    for n in range(-1, most):
        if count := int((seen == n).sum()):
            report.data(f"{answer(n):16}{count:>8,}  {count / len(seen):6.1%}")


def answer(n: int) -> str:
    """What was seen of a token: "after 2 tokens", "alone", "not seen"."""
    return "not seen" if n < 0 else "alone" if n == 0 else f"after {report.number_of(n, 'token')}"
