"""nlm tokenize: what a text falls into."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.cli.command import command_with, given
from nlmcli.options import Listed

FIELDS = ("tokenizer", "vocab_size", "min_count", "lowercase", "encoding")


def fields() -> Iterator[Listed]:
    """The options of a run that concern its tokenizer."""
    from nlmcli.engine.run.settings import own_options

    return (replace(each, option=replace(each.option, panel=None)) for name, each in own_options().items() if name in FIELDS)


Command = command_with(fields)


GivenText = Annotated[str | None, typer.Option(metavar="TEXT", help="Show the pieces of this string instead.", show_default=False)]
Top = Annotated[int, typer.Option(metavar="N", help="How many of the most frequent types to list.")]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tokenizer to this .json file.", show_default=False)]


def tokenize(
    ctx: typer.Context,
    corpus: options.Corpus = None,
    text: GivenText = None,
    top: Top = 10,
    out: Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Count the tokens and types of a text, or show the pieces of one string.

    Example: nlm tokenize --text "the blue ants hated the red ants."
    """
    from nlmcli.engine.reading.tokens import count, fit, pieces_of, save
    from nlmcli.engine.run.settings import Settings

    options.announce_compiling(quiet)
    whole, fitted = fit(Settings.of(corpus=tuple(corpus or ()), **given(ctx)), text)
    if out is not None:
        save(fitted, out)
        if not quiet:
            report.message(f"saved {out}; use it with: --tokenizer {out}")
    if text is not None:
        fallen = pieces_of(text, fitted)
        if json:
            report.document(fallen.report())
        else:
            report.data(" | ".join(fallen.visible()))
            report.data(f"{report.number_of(fallen.tokens, 'token')} of {report.number_of(fallen.types, 'type')}")
        return
    found = count(whole, fitted, top)
    if json:
        report.document(found)
        return
    show(found, quiet)


def show(found: dict[str, Any], quiet: bool) -> None:
    """The counts of a text, and its most frequent types."""
    report.facts(
        [
            ("tokens", f"{found['tokens']:,}"),
            ("types", f"{found['types']:,}"),
            ("line ends", f"{found['line_ends']:,}"),
            ("type/token ratio", f"{found['type_token_ratio']:.4f}"),
            ("characters", f"{found['characters']:,}"),
            ("characters per token", f"{found['characters_per_token']:.2f}"),
            ("vocabulary", vocabulary(found["vocabulary"], found["special"])),
            ("unknown", f"{found['unknown_rate']:.2%} of tokens"),
        ]
    )
    if not quiet and found["most_frequent"]:
        report.data("\nmost frequent types")
        rows = [(report.cut(t, 50), f"{n:,}", f"{n / found['tokens']:.2%}") for t, n in found["most_frequent"]]
        for line in report.columns(rows, right=(1, 2)):
            report.data("  " + line)


def vocabulary(size: int, special: list[str]) -> str:
    """399 = 397 types + <unk>, <eos>."""
    return f"{size:,} = {size - len(special):,} types + {', '.join(special)}" if special else f"{size:,}"
