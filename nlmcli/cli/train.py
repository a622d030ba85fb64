"""nlm train: learn a language model from a text."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli import models, optim
from nlmcli.cli import options, report
from nlmcli.optim.schedule import DECAYS

MODEL, TRAINING, TEXT = "Model", "Training", "Text"


def opt(help: str, panel: str, metavar: str | None = None, *names: str, hidden: bool = False) -> Any:
    """An option. Its default stands in the help, in brackets that are no markup."""
    help = help.replace("[", r"\[")
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, show_default=False, hidden=hidden)


NAMES = f"{options.one_of(models.names())}. [default: rnn]"
OPTIMIZERS = f"{options.one_of(optim.names())}. [default: adam]"
SCHEDULES = f"{options.one_of(list(DECAYS))}. [default: cosine]"
HELD_OUT = "Else hold out the last part of the text, or so much of its distinct lines. [default: 0.1]"
STEPS = "Or how many batches. [default: ten epochs, but at least 1,000 and at most 5,000 steps]"


def train(
    corpus: options.Corpus = None,
    model: Annotated[str, opt(NAMES, MODEL, "NAME")] = "rnn",
    embed: Annotated[int | None, opt("How many numbers an embedding has; all but ngram. [default: 64]", MODEL, "D")] = None,
    hidden: Annotated[int | None, opt("How many hidden units; lstm, nplm, rnn, window. [default: 256]", MODEL, "H")] = None,
    layers: Annotated[int | None, opt("How many layers; lstm, rnn. [default: 1]", MODEL, "L")] = None,
    heads: Annotated[int | None, opt("How many attention heads.", MODEL, "N", hidden=True)] = None,
    context: Annotated[
        int | None,
        opt("How many tokens a window sees, or n; nplm, window, additive, ngram. [default: 8; additive: 3; ngram: 5]", MODEL, "N"),
    ] = None,
    add_k: Annotated[
        float | None, opt("Add X to every count, 1: Laplace, 0: do not smooth; ngram. [default: Kneser-Ney smoothing]", MODEL, "X")
    ] = None,
    tie: Annotated[bool | None, opt("Output embeddings are the input's.", MODEL, hidden=True)] = None,
    dropout: Annotated[float | None, opt("Share of units dropped in training; all but ngram. [default: 0]", MODEL, "P")] = None,
    tokenizer: Annotated[str, opt(f"{options.TOKENIZERS} [default: word]", TEXT, "NAME")] = "word",
    vocab_size: Annotated[int | None, opt("At most N types; rarer ones are <unk>.", TEXT, "N")] = None,
    min_count: Annotated[int | None, opt("Types seen less than K times are <unk>. [default: 2 for word, else 1]", TEXT, "K")] = None,
    lowercase: Annotated[bool, opt("Read everything in lower case.", TEXT, None, "--lowercase")] = False,
    encoding: Annotated[str, opt("How the bytes are read. [default: utf-8]", TEXT, "NAME")] = "utf-8",
    by: Annotated[str, opt("stream: one long text; line: each line its own example. [default: stream]", TEXT, "WAY")] = "stream",
    valid: Annotated[str | None, opt("Validate on this file.", TEXT, "FILE")] = None,
    valid_fraction: Annotated[float, opt(HELD_OUT, TEXT, "X")] = 0.1,
    batch_size: Annotated[int, opt("How many texts are read side by side. [default: 32]", TRAINING, "B")] = 32,
    seq_len: Annotated[int, opt("How many steps back-propagation goes back in time. [default: 64]", TRAINING, "T")] = 64,
    optimizer: Annotated[str, opt(OPTIMIZERS, TRAINING, "NAME")] = "adam",
    lr: Annotated[float | None, opt("Learning rate. [default: the optimizer's]", TRAINING, "X")] = None,
    beta: Annotated[float | None, opt("momentum's β. [default: 0.1]", TRAINING, "X")] = None,
    beta1: Annotated[float | None, opt("adam's β₁. [default: 0.9]", TRAINING, "X")] = None,
    beta2: Annotated[float | None, opt("adam's and rmsprop's β₂. [default: 0.999; 0.99]", TRAINING, "X")] = None,
    epsilon: Annotated[float | None, opt("What keeps a division from being by zero. [default: the optimizer's]", TRAINING, "X")] = None,
    schedule: Annotated[str, opt(SCHEDULES, TRAINING, "NAME")] = "cosine",
    warmup: Annotated[int, opt("Steps until the learning rate is reached. [default: 0]", TRAINING, "N")] = 0,
    clip: Annotated[float, opt("Longest gradient; 0 does not clip. [default: 1]", TRAINING, "X")] = 1.0,
    epochs: Annotated[float | None, opt("How often to read the text.", TRAINING, "N")] = None,
    steps: Annotated[int | None, opt(STEPS, TRAINING, "N")] = None,
    eval_every: Annotated[int | None, opt("Validate every N steps; 0: never. [default: ten times]", TRAINING, "N")] = None,
    seed: Annotated[int, opt("The same seed gives the same model, to the bit. [default: 1]", TRAINING, "N")] = 1,
    threads: Annotated[int | None, opt("How many threads. [default: the processors there are]", TRAINING, "N")] = None,
    out: Annotated[Path | None, opt("The run's folder. [default: runs/CORPUS-MODEL-N]", TRAINING, "PATH")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Learn a language model from a text.

    Example: nlm train --model rnn
    """
    given = dict(locals())
    for name in ("out", "threads", "json", "quiet", "debug"):
        del given[name]
    from nlmcli.cli.progress import Progress
    from nlmcli.engine.count import Counting
    from nlmcli.engine.settings import Settings
    from nlmcli.engine.train import Finished, Training

    settings = Settings(**given | {"corpus": tuple(corpus or ())})
    Kind = Training if models.model_class(model).neural else Counting
    training = Kind(settings, out, threads)
    progress = Progress(training.settings, quiet)
    before = signal.signal(signal.SIGINT, lambda *_: interrupt(training, progress, before))
    try:
        with progress:
            for record in training.run():
                progress.show(record)
    finally:
        signal.signal(signal.SIGINT, before)
    assert isinstance(record, Finished)  # the last record of every run
    if json:
        report.document(vars(record))
    elif not quiet:
        progress.summary(record)
    return 130 if record.interrupted else 0


def interrupt(training: Any, progress: Any, before: Any) -> None:
    """The first Ctrl-C ends the run after this step, saved; the second at once."""
    training.stop = True
    signal.signal(signal.SIGINT, before)
    progress.interrupt()
