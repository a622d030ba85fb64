"""nlm tokenize: what a text falls into."""

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
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Count the tokens and types of a text, or show the pieces of one string.

    Example: nlm tokenize --text "the blue ants hated the red ants."
    """
    from nlmcli.engine.tokens import count, pieces_of

    if text is not None:
        fallen = pieces_of(text, tokenizer, lowercase)
        shown = " | ".join(report.printable(piece).replace("\n", "\\n") for piece in fallen.pieces)
        if json:
            report.document(fallen.report())
        else:
            report.data(shown)
            report.data(f"{fallen.tokens} tokens of {fallen.types} types")
        return
    found = count(tuple(corpus or ()), tokenizer, vocab_size, min_count, lowercase, encoding, top)
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
            ("vocabulary", f"{found['vocabulary']:,}"),
            ("unknown", f"{found['unknown_rate']:.2%} of tokens"),
        ]
    )
    if not quiet and found["most_frequent"]:
        report.data("\nmost frequent types")
        rows = [(report.printable(t).replace("\n", "\\n"), f"{n:,}", f"{n / found['tokens']:.2%}") for t, n in found["most_frequent"]]
        for line in report.columns(rows, right=(1, 2)):
            report.data("  " + line)
