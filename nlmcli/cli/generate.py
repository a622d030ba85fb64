"""nlm generate: text from a model."""

from typing import Annotated

import typer

from nlmcli.cli import options, report


def generate(
    run: options.Run = None,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="What the text begins with.")] = "",
    length: Annotated[int, typer.Option(metavar="N", help="How many tokens to write.")] = 100,
    num: Annotated[int, typer.Option(metavar="N", help="How many texts to write.")] = 1,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same seed writes the same text.", show_default=False)] = None,
    temperature: Annotated[float, typer.Option(metavar="X", help="Below 1 surer, above 1 wilder; 0 is --greedy.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(metavar="K", help="Draw from the K most probable tokens only.", show_default=False)] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", help="Draw from the fewest tokens that have P of the probability.", show_default=False)
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(metavar="P", help="Only tokens at least P times as probable as the most probable.", show_default=False)
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the most probable token.")] = False,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="End before this; may be given again. A model of lines ends at the line's end.", show_default=False
        ),
    ] = None,
    probs: Annotated[
        int | None, typer.Option(metavar="K", help="Write nothing; show the K most probable next tokens.", show_default=False)
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write text with a trained model, token by token, or show what it thinks comes next.

    Example: nlm generate --prompt "students opened their" --probs 5
    """
    from nlmcli.engine.generate import Sampling, next_words, notes, write
    from nlmcli.engine.settings import at_least

    for name, value, least in (("length", length, 0), ("num", num, 1), ("seed", seed, 0), ("probs", probs, 1)):
        at_least(name, value, least)
    options.announce_compiling(quiet)
    lm = options.load(run)
    sampling = Sampling(temperature, top_k, top_p, min_p, greedy)
    sampling.check()
    if not quiet:
        for note in notes(lm, prompt):
            report.message(report.printable(note))
    if probs is not None:
        found = next_words(lm, prompt, probs, sampling)
        if json:
            report.document({"prompt": prompt, "next": [{"token": t, "p": p} for t, p in found]})
            return
        report.data(f"{report.printable(prompt)} ____")
        rows = [(report.printable(token), report.probability(p, 4), report.bar(p)) for token, p in found]
        for line in report.columns(rows, right=(1,)):
            report.data("  " + line)
        return
    written = ["" for _ in range(num)]
    streaming, begin = num == 1 and not json, prompt
    for i, piece in write(lm, prompt, length, num, seed, sampling, tuple(stop or ())):
        written[i] += piece
        if streaming:
            report.data(report.printable(begin + piece), end="")
            begin = ""
    if streaming:
        report.data(report.printable(begin))
    elif json:
        report.document({"prompt": prompt, "texts": [prompt + text for text in written]})
    else:
        for i, text in enumerate(written, 1):
            if i > 1 and lm.settings.by == "stream":
                report.data(f"--- {i} of {num} ---")
            report.data(report.printable(prompt + text))
