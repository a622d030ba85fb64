"""nlm tokenize: the tokens and types of a text."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.cli.command import command_with, typed_options
from nlmcli.options import OptionField

FIELDS = ("tokenizer", "vocab_size", "min_count", "lowercase", "encoding")


def fields() -> Iterator[OptionField]:
    """The options of a run that concern its tokenizer."""
    from nlmcli.engine.run.settings import own_options

    return (replace(each, option=replace(each.option, panel=None)) for name, each in own_options().items() if name in FIELDS)


Command = command_with(fields)


GivenText = Annotated[str | None, typer.Option(metavar="TEXT", help="Show the tokens of this string instead.", show_default=False)]
Top = Annotated[int, typer.Option(metavar="N", help="Number of most frequent types to list.")]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Plot Zipf's curve, and what <unk> swallows, to a .png or .svg file.", show_default=False),
]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Save the tokenizer to this .json file.", show_default=False)]


def tokenize(
    ctx: typer.Context,
    corpus: options.Corpus = None,
    text: GivenText = None,
    top: Top = 10,
    out: Out = None,
    plot: Plot = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Count the tokens and types of a corpus, or show the tokens of a string.

    Example: nlm tokenize --text "the blue ants hated the red ants."
    """
    from nlmcli.engine.reading.tokens import count, fit, save, split_string, type_counts
    from nlmcli.engine.run.settings import Settings

    if text is not None:
        options.refuse_with("text", plot=plot)
    options.announce_compiling(quiet)
    options.announce_dropped(quiet)
    corpus_text, tokenizer = fit(Settings.of(corpus=tuple(corpus or ()), **typed_options(ctx)), text)
    if out is not None:
        save(tokenizer, out)
        if not quiet:
            report.message(f"saved to {out}; use it with --tokenizer {out}")
    if text is not None:
        pieces = split_string(text, tokenizer)
        if json:
            report.document(pieces.report())
        else:
            report.data(" | ".join(pieces.visible()))
            report.data(f"{report.number_of(pieces.tokens, 'token')}, {report.number_of(pieces.types, 'type')}")
        return
    of_types, line_ends = type_counts(corpus_text, tokenizer)
    counts = count(corpus_text, tokenizer, of_types, line_ends, top)
    if plot is not None:
        from nlmcli.engine.viewing.zipf_plot import save_zipf_plot

        kept = len(tokenizer) - len(counts["special"]) if tokenizer.unknown is not None else len(of_types)
        save_zipf_plot([n for _, n in of_types.most_common()], kept, counts["unknown_rate"], plot)
    if json:
        report.document(counts)
        return
    print_counts(counts, quiet)


def print_counts(counts: dict[str, Any], quiet: bool) -> None:
    """Print the counts of a text, and its most frequent types."""
    report.pairs(
        [
            ("tokens", f"{counts['tokens']:,}"),
            ("types", f"{counts['types']:,}"),
            ("line ends", f"{counts['line_ends']:,}"),
            ("type/token ratio", f"{counts['type_token_ratio']:.4f}"),
            ("characters", f"{counts['characters']:,}"),
            ("characters per token", f"{counts['characters_per_token']:.2f}"),
            ("vocabulary", vocabulary(counts["vocabulary"], counts["special"])),
            ("unknown", f"{counts['unknown_rate']:.2%} of tokens"),
        ]
    )
    if not quiet and counts["most_frequent"]:
        report.data("\nmost frequent types")
        rows = [(report.truncate(t, 50), f"{n:,}", f"{n / counts['tokens']:.2%}") for t, n in counts["most_frequent"]]
        for line in report.columns(rows, right=(1, 2)):
            report.data("  " + line)


def vocabulary(size: int, special: list[str]) -> str:
    """399 = 397 types + <unk>, <eos>."""
    return f"{size:,} = {report.number_of(size - len(special), 'type')} + {', '.join(special)}" if special else f"{size:,}"
