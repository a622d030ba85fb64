"""nlm tokenize: what a text falls into."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import options, report


def tokenize(
    corpus: options.Corpus = None,
    tokenizer: options.Tokenizer = "word",
    vocab_size: options.VocabSize = None,
    min_count: options.MinCount = None,
    lowercase: options.Lowercase = False,
    encoding: options.Encoding = "utf-8",
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Show the pieces of this string instead.", show_default=False)] = None,
    top: Annotated[int, typer.Option(metavar="N", help="How many of the most frequent types to list.")] = 10,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tokenizer to this .json file.", show_default=False)] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Count the tokens and types of a text, or show the pieces of one string.

    Example: nlm tokenize --text "the blue ants hated the red ants."
    """
    from nlmcli.engine.tokens import count, fit, pieces_of, save

    options.announce_compiling(quiet)
    whole, fitted = fit(tuple(corpus or ()), tokenizer, vocab_size, min_count, lowercase, encoding, text)
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
