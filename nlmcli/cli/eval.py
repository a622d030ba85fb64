"""nlm eval: how well a model predicts a text."""

from typing import Annotated, Any

import typer

from nlmcli.cli import options, report


def eval(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE", help="Text files; - is stdin. None: the part of the corpus that training held out.", show_default=False
        ),
    ] = None,
    run: options.Run = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Score this string instead.", show_default=False)] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="RUN:WEIGHT",
            help="Mix in another run's probabilities, so much of them; without :WEIGHT what suits the first run's held-out text best.",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="List P(token | all before it) of every token, and their product.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Score a text in every unit: nats, bits, perplexity, per token, character and byte.

    Example: nlm eval --text "students opened their books." --tokens
    """
    import math

    from nlmcli.engine.evaluate import each_token, evaluate, mixture_of

    options.announce_compiling(quiet)
    lm = options.load(run)
    mixture = mixture_of(lm, mix) if mix else None
    result = evaluate(mixture or lm, tuple(texts or ()), text)
    listed = list(each_token(mixture or lm, result.text)) if tokens else []
    if json:
        mixed = {"mix": {"run": mixture.name, "weight": mixture.weight, "fitted": mixture.fitted}} if mixture else {}
        report.document(result.report() | mixed | ({"each": listed} if tokens else {}))
        return
    if tokens:
        table = [("token", "P", "bits", "rank")]
        table += [(shown(t), report.probability(t["p"], 6), f"{t['bits']:.2f}", str(t["rank"])) for t in listed]
        for line in report.columns(table, right=(1, 2, 3)):
            report.data(line)
        nats = math.fsum(t["nats"] for t in listed)
        report.data(f"\nP(text) = product = {math.exp(-nats):.3e} = exp(-{nats:.3f})\n")
    r = result.report()
    rows = [
        ("text", report.printable(result.name) if text is None else f'"{report.cut(shown_text(text), 50)}"'),
        ("tokens", f"{r['tokens']:,} ({r['unknowns']:,} unknown, {r['unknown_rate']:.2%})"),
        ("nats per token", f"{r['nats_per_token']:.4f}"),
        ("perplexity", f"{r['perplexity']:,.2f}"),
        ("bits per token", f"{r['bits_per_token']:.4f}"),
        ("bits per character", f"{r['bits_per_character']:.4f}"),
        ("bits per byte", f"{r['bits_per_byte']:.4f}"),
        ("top-1 accuracy", f"{r['top1']:.2%}"),
        ("top-5 accuracy", f"{r['top5']:.2%}"),
    ]
    if r["unknowns"] and r["perplexity_known"]:
        rows.insert(4, ("perplexity without unknowns", f"{r['perplexity_known']:,.2f}"))
    if r["floor_perplexity"]:
        rows.append(("floor perplexity", f"{r['floor_perplexity']:.2f}: what this text's own grammar reaches"))
    if mixture:
        how = ", the best on what the first run held out" if mixture.fitted else ""
        rows.insert(1, ("mixture", report.printable(f"{1 - mixture.weight:.4f} of the run, {mixture.weight:.4f} of {mixture.name}{how}")))
    report.facts(rows)


def shown(token: dict[str, Any]) -> str:
    """The token; where it is <unk>, what stood in the text beside it."""
    from nlmcli.text.tokenizer import UNKNOWN, visible

    name, piece = token["token"], visible(token["piece"])
    return f"{report.cut(piece, 40)} ({name})" if name == UNKNOWN != piece else name


def shown_text(text: str) -> str:
    """The text on one line."""
    return report.printable(text).replace("\n", "\\n").replace("\t", "\\t")
