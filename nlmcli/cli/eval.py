"""nlm eval: how well a model predicts a text."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report, scores, surprisal
from nlmcli.errors import InputError

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE", help="Text files; - is stdin. None: the part of the corpus that training held out.", show_default=False),
]
Runs = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help=f"{options.RUN} Given again: a table of the runs.", show_default=False),
]
Corpus = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="Where the run's corpus lies now; may be given again. It must be the same text.", show_default=False),
]
GivenText = Annotated[str | None, typer.Option(metavar="TEXT", help="Score this string instead.", show_default=False)]
Mix = Annotated[
    str | None,
    typer.Option(
        metavar="RUN:WEIGHT",
        help="Mix in another run's probabilities, so much of them; without :WEIGHT what suits the first run's held-out text best.",
        show_default=False,
    ),
]
Tokens = Annotated[
    bool, typer.Option("--tokens", help="List P(token | all before it) of every token, and their product; with --json, one a line.")
]
NoEos = Annotated[bool, typer.Option("--no-eos", help="Read line ends, but count neither them nor their characters in any figure.")]
DynamicEvaluation = Annotated[
    bool, typer.Option("--dynamic", help="Go on learning while reading: a step of gradient descent after each segment.")
]
DynamicRate = Annotated[
    float | None, typer.Option(metavar="X", help="With --dynamic: the learning rate. Default: 0.03.", show_default=False)
]
Segment = Annotated[
    int | None, typer.Option(metavar="N", help="With --dynamic: so many tokens are a segment. Default: 20.", show_default=False)
]


def eval(
    texts: Texts = None,
    run: Runs = None,
    corpus: Corpus = None,
    text: GivenText = None,
    mix: Mix = None,
    tokens: Tokens = False,
    no_eos: NoEos = False,
    dynamic: DynamicEvaluation = False,
    dynamic_lr: DynamicRate = None,
    dynamic_segment: Segment = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Score a text in every unit: nats, bits, perplexity, per token, character and byte.

    A line end is a token like others: the <eos> of words, the line break of characters and bytes. --no-eos leaves it out
    of every figure; a token of bpe that has more to it than line breaks stays.

    Example: nlm eval --text "students opened their books." --tokens
    """
    from nlmcli.engine.scoring.evaluate import each_token, evaluate_all, mixture_of

    if not dynamic:
        options.refuse_without("dynamic", dynamic_lr=dynamic_lr, dynamic_segment=dynamic_segment)
    options.refuse_together(dynamic=dynamic, mix=mix)
    several = run is not None and len(run) > 1
    if several and (mix or tokens):
        raise InputError(f"--{'mix' if mix else 'tokens'} is about one run; give --run once")
    options.announce_compiling(quiet)
    runs: list[Path | None] = [*run] if run else [None]
    lms = [options.load(path) for path in runs]
    if corpus:
        options.refuse_with("corpus", text=text, FILE=texts)
        for lm in lms:
            lm.settings = replace(lm.settings, corpus=tuple(corpus))
    mixture = mixture_of(lms[0], mix) if mix else None
    learners = [learner(lm, dynamic_lr, dynamic_segment) if dynamic else None for lm in lms]
    static = evaluate_all([mixture] if mixture else lms, tuple(texts or ()), text, eos=not no_eos)
    scored = [scores.Scored(str(runs[k]), lms[k], each, learners[k], mixture) for k, each in enumerate(static)]
    if several:
        report.document({"runs": [one.row() for one in scored]}) if json else scores.table(scored, quiet)
        return
    (one,) = scored
    if tokens:
        listed = each_token(one.learner or mixture or one.lm, one.result.text, one.result.ids)
        surprisal.lines(listed) if json else surprisal.show(list(listed), one.lm if text is not None else None)
    report.document(one.report()) if json else scores.facts(one, text, quiet)


def learner(lm: Any, lr: float | None, segment: int | None) -> Any:
    """The run's model, learning while it reads.  Raises InputError where it cannot."""
    from nlmcli.engine.gradient.threads import available_threads
    from nlmcli.engine.scoring.dynamic import RATE, SEGMENT, Dynamic

    return Dynamic(lm, RATE if lr is None else lr, SEGMENT if segment is None else segment, available_threads())
