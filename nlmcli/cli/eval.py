"""nlm eval: how well a model predicts a text."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report, scores, surprisal
from nlmcli.errors import InputError, suggest
from nlmcli.options import check_at_least

Texts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE",
        help=r"Text files to score; - reads stdin. \[default: the held-out part of the training corpus]",
        show_default=False,
    ),
]
Runs = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help=f"{options.RUN} Repeat the option for a table of several runs. {options.NEWEST}", show_default=False),
]
Corpus = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="New location of the training corpus, if it has moved; may be repeated.", show_default=False),
]
GivenText = Annotated[str | None, typer.Option(metavar="TEXT", help="Score this string instead of files.", show_default=False)]
Mix = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RUN:WEIGHT",
        help="Linear interpolation with another run of this weight; may be repeated. Without :WEIGHT, the best on the held-out text.",
        show_default=False,
    ),
]
Tokens = Annotated[
    bool,
    typer.Option(
        "--tokens", help="List P(token | all tokens before it) of every token, and their product; with --json, one line per token."
    ),
]
Alternatives = Annotated[
    int | None, typer.Option(metavar="K", help="With --tokens: the K most probable tokens in the place of each.", show_default=False)
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Of --task classify and tag: draw the confusion matrix, as .png or .svg; requires matplotlib.",
        show_default=False,
    ),
]
NoEos = Annotated[
    bool, typer.Option("--no-eos", help="Exclude the ends of lines, and their characters, from all metrics; the model still reads them.")
]
DynamicEvaluation = Annotated[
    bool, typer.Option("--dynamic", help="Dynamic evaluation: keep training on the text, one step after each segment is scored.")
]
DynamicRule = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=r"Step of --dynamic: sgd, or rms, which divides a gradient by its root mean square in training. \[default: sgd]",
        show_default=False,
    ),
]
DynamicRate = Annotated[
    float | None, typer.Option(metavar="X", help=r"Learning rate of --dynamic. \[default: sgd 0.03, rms 0.001]", show_default=False)
]
Segment = Annotated[
    int | None, typer.Option(metavar="N", help=r"Segment length of --dynamic, in tokens. \[default: 20]", show_default=False)
]
Cache = Annotated[
    int | None,
    typer.Option(
        "--cache",
        metavar="N",
        help="Neural cache: what followed similar contexts in the last N tokens of the text becomes more probable.",
        show_default=False,
    ),
]
CacheTheta = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help=r"Sharpness of --cache. \[default: fitted on the held-out text]",
        show_default=False,
    ),
]
CacheWeight = Annotated[
    float | None, typer.Option(metavar="X", help=r"Weight of --cache. \[default: fitted on the held-out text]", show_default=False)
]


def eval(
    texts: Texts = None,
    run: Runs = None,
    corpus: Corpus = None,
    text: GivenText = None,
    mix: Mix = None,
    tokens: Tokens = False,
    alternatives: Alternatives = None,
    no_eos: NoEos = False,
    dynamic: DynamicEvaluation = False,
    dynamic_rule: DynamicRule = None,
    dynamic_lr: DynamicRate = None,
    dynamic_segment: Segment = None,
    cache: Cache = None,
    cache_theta: CacheTheta = None,
    cache_weight: CacheWeight = None,
    plot: Plot = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Evaluate a model on a text: cross-entropy, perplexity, bits per character and byte, and accuracy.

    The end of a line counts as a token: <eos> of word tokenizers, the line
    break of the others. --no-eos excludes it from all metrics, but not a bpe
    token that holds more than line breaks.

    Example: nlm eval --text "students opened their books." --tokens
    """
    from nlmcli.engine.scoring.evaluate import combined, evaluate_all

    paths: list[Path | None] = [*run] if run else [None]
    models = [load(path, corpus) for path in paths]
    if any(model.settings.task != "generate" for model in models):
        for_language = {
            "text": text,
            "mix": mix,
            "tokens": tokens,
            "alternatives": alternatives,
            "no_eos": no_eos,
            "dynamic": dynamic,
            "cache": cache,
        }
        evaluate_tasks(dict(zip(map(str, paths), models, strict=True)), tuple(texts or ()), for_language, plot, json, quiet)
        return
    if plot:
        raise InputError("--plot draws the labels that are taken for others, and this run is a language model; leave it out")
    if not dynamic:
        options.refuse_without("dynamic", dynamic_rule=dynamic_rule, dynamic_lr=dynamic_lr, dynamic_segment=dynamic_segment)
    if cache is None:
        options.refuse_without("cache", cache_theta=cache_theta, cache_weight=cache_weight)
    if not tokens:
        options.refuse_without("tokens", alternatives=alternatives)
    if alternatives is not None:
        check_at_least("alternatives", alternatives, 1)
        options.refuse_together(alternatives=alternatives, dynamic=dynamic, mix=mix, cache=cache)
    several = run is not None and len(run) > 1
    if several and (mix or tokens):
        raise InputError(f"--{'mix' if mix else 'tokens'} works with a single run; give --run once")
    options.announce_compiling(quiet)
    if corpus and (texts or text is not None):
        raise InputError("--corpus is where the held-out part is read from; leave it out to score a file or --text")
    better: list[Any] = [dynamic_model(lm, dynamic_rule, dynamic_lr, dynamic_segment) if dynamic else None for lm in models]
    if mix or cache is not None:
        weights = mix or (), cache, cache_theta, cache_weight
        better = [combined(lm, learning, *weights) for lm, learning in zip(models, better, strict=True)]
    evaluations = evaluate_all(models, tuple(texts or ()), text, eos=not no_eos)
    scored = [scores.ScoredRun(str(path), *each) for path, *each in zip(paths, models, evaluations, better, strict=True)]
    if several:
        report.document({"runs": [one.row() for one in scored]}) if json else scores.print_table(scored, quiet)
        return
    (one,) = scored
    if tokens:
        print_tokens(one, text is not None, alternatives, json, quiet)
    report.document(one.report()) if json else scores.print_metrics(one, text, quiet)


def load(path: Path | None, corpus: list[str] | None) -> Any:
    """The model of a run, whose corpus may have moved."""
    lm = options.load_any(path)
    if corpus:
        lm.settings = replace(lm.settings, corpus=tuple(corpus))
    return lm


def evaluate_tasks(
    models: dict[str, Any], files: tuple[str, ...], for_language: dict[str, Any], plot: Path | None, json: bool, quiet: bool
) -> None:
    """Score runs of --task classify, regress or tag on labelled files.  Raises InputError for an option of language models."""
    from nlmcli.cli import judgement
    from nlmcli.engine.scoring.evaluate_task import evaluate_task
    from nlmcli.engine.viewing.confusion import save_confusion_plot
    from nlmcli.engine.viewing.figures import new_figure

    task, *others = {model.settings.task for model in models.values()}
    if others:
        raise InputError("these runs are of different tasks; give runs of one task")
    for name, value in for_language.items():
        if value not in (None, False):
            raise InputError(f"--{name.replace('_', '-')} applies to language models, and this is a run of --task {task}; leave it out")
    if plot:
        if len(models) > 1:
            raise InputError("--plot works with a single run; give --run once")
        new_figure(plot, (1, 1))  # an unknown ending is said before anything is scored
    if "-" in files and len(models) > 1:
        raise InputError("stdin can be read by one run only; give a file to score several runs on it")
    options.announce_compiling(quiet)
    scored = [(name, evaluate_task(model, files)) for name, model in models.items()]
    if plot:
        save_confusion_plot(scored[0][1], plot)
    if len(scored) == 1:
        report.document(scored[0][1].report()) if json else judgement.print_evaluation(scored[0][1], quiet)
    elif json:
        report.document({"runs": [{"run": name, "model": e.model.settings.model} | e.report() for name, e in scored]})
    else:
        judgement.print_runs(scored)


def print_tokens(one: scores.ScoredRun, as_factors: bool, alternatives: int | None, json: bool, quiet: bool) -> None:
    """Print the probability of every token.  alternatives: how many others are shown beside each; None: none"""
    from nlmcli.engine.scoring.evaluate import each_token

    token_scores = each_token(one.better or one.lm, one.result.text, one.result.ids)
    if alternatives is not None:
        token_scores = with_alternatives(token_scores, one, alternatives)
    surprisal.print_json(token_scores) if json else surprisal.print_tokens(list(token_scores), one.lm if as_factors else None)
    if not quiet and (window := one.lm.model.window) and one.result.score.tokens > window:
        blocks = f"model {one.lm.settings.model} reads blocks of {window} tokens, each without what precedes it"
        report.message(f"{blocks}; nlm generate keeps at least half a block of context")


def with_alternatives(tokens: Iterator[dict[str, Any]], one: scores.ScoredRun, k: int) -> Iterator[dict[str, Any]]:
    """The tokens, each with the most probable ones in its place."""
    from nlmcli.engine.viewing import inside

    for token, best in zip(tokens, inside.choices(one.lm, inside.read(one.lm, one.result.text), k), strict=True):
        yield token | {"alternatives": [{"token": name, "p": p} for name, p in best]}


def dynamic_model(lm: Any, rule: str | None, lr: float | None, segment: int | None) -> Any:
    """The model of a run, under dynamic evaluation.  Raises InputError for a model that cannot be trained by gradient descent."""
    from nlmcli.engine.gradient.threads import available_threads
    from nlmcli.engine.scoring.dynamic import RATES, SEGMENT, Dynamic
    from nlmcli.engine.scoring.evaluate import held_out_texts

    if rule not in (None, *RATES):
        raise InputError(f"unknown --dynamic-rule {rule!r}{suggest(str(rule), list(RATES))}")
    train = held_out_texts(lm).train if rule == "rms" else None
    return Dynamic(lm, lr, SEGMENT if segment is None else segment, available_threads(), train)
