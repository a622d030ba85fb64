"""nlm train: learn a language model from a text."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report

MODEL, TRAINING, TEXT = "Model", "Training", "Text"


def opt(help: str, panel: str, metavar: str | None = None, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


def train(
    corpus: options.Corpus = None,
    model: Annotated[str, opt("additive, window, nplm or rnn. [default: rnn]", MODEL, "NAME")] = "rnn",
    embed: Annotated[int | None, opt("D, numbers per embedding. [default: 64]", MODEL, "D")] = None,
    hidden: Annotated[int | None, opt("H, hidden units. [default: 256]", MODEL, "H")] = None,
    layers: Annotated[int | None, opt("Layers. [default: 1]", MODEL, "L")] = None,
    heads: Annotated[int | None, opt("Attention heads.", MODEL, "N")] = None,
    context: Annotated[int | None, opt("How many tokens a window sees. [default: 8; additive: 3]", MODEL, "N")] = None,
    tie: Annotated[bool | None, opt("Output embeddings are the input's.", MODEL)] = None,
    dropout: Annotated[float | None, opt("Share of units dropped in training. [default: 0]", MODEL, "P")] = None,
    tokenizer: Annotated[str, opt("word, whitespace, char or byte. [default: word]", TEXT, "NAME")] = "word",
    vocab_size: Annotated[int | None, opt("At most N types; rarer ones are <unk>.", TEXT, "N")] = None,
    min_count: Annotated[int | None, opt("Types seen less than K times are <unk>. [default: 2 for word, else 1]", TEXT, "K")] = None,
    lowercase: Annotated[bool, opt("Read everything in lower case.", TEXT, None, "--lowercase")] = False,
    encoding: Annotated[str, opt("How the bytes are read. [default: utf-8]", TEXT)] = "utf-8",
    by: Annotated[str, opt("stream: one long text; line: each line its own example. [default: stream]", TEXT, "WAY")] = "stream",
    valid: Annotated[str | None, opt("Validate on this file.", TEXT, "FILE")] = None,
    valid_fraction: Annotated[
        float, opt("Else hold out the last part of the text, or so much of its distinct lines. [default: 0.1]", TEXT, "F")
    ] = 0.1,
    batch_size: Annotated[int, opt("B, texts read side by side. [default: 32]", TRAINING, "B")] = 32,
    seq_len: Annotated[int, opt("T, steps of back-propagation through time. [default: 64]", TRAINING, "T")] = 64,
    optimizer: Annotated[str, opt("sgd, momentum, adagrad, rmsprop or adam. [default: adam]", TRAINING, "NAME")] = "adam",
    lr: Annotated[float | None, opt("Learning rate. [default: the optimizer's]", TRAINING)] = None,
    beta: Annotated[float | None, opt("momentum's β. [default: 0.1]", TRAINING)] = None,
    beta1: Annotated[float | None, opt("adam's β₁. [default: 0.9]", TRAINING)] = None,
    beta2: Annotated[float | None, opt("adam's and rmsprop's β₂. [default: 0.999; 0.99]", TRAINING)] = None,
    epsilon: Annotated[float | None, opt("What keeps a division from being by zero.", TRAINING)] = None,
    schedule: Annotated[str, opt("constant, linear or cosine. [default: cosine]", TRAINING, "NAME")] = "cosine",
    warmup: Annotated[int, opt("Steps until the learning rate is reached. [default: 0]", TRAINING, "N")] = 0,
    clip: Annotated[float, opt("Longest gradient; 0 does not clip. [default: 1]", TRAINING)] = 1.0,
    epochs: Annotated[float | None, opt("How often to read the text.", TRAINING, "N")] = None,
    steps: Annotated[int | None, opt("Or how many batches. [default: 3000]", TRAINING, "N")] = None,
    eval_every: Annotated[int | None, opt("Validate every N steps; 0: never. [default: ten times]", TRAINING, "N")] = None,
    seed: Annotated[int, opt("The same seed gives the same model, to the bit. [default: 1]", TRAINING, "N")] = 1,
    threads: Annotated[int | None, opt("Threads. [default: the processors there are]", TRAINING, "N")] = None,
    out: Annotated[Path | None, opt("The run's folder. [default: runs/CORPUS-MODEL-N]", TRAINING, "PATH")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Learn a language model from a text.

    Example: nlm train --model rnn
    """
    given = dict(locals())
    for name in ("out", "threads", "json", "quiet"):
        del given[name]
    from nlmcli.cli.progress import Progress
    from nlmcli.engine.settings import Settings
    from nlmcli.engine.train import Finished, Training

    training = Training(Settings(**given | {"corpus": tuple(corpus or ())}), out, threads)
    before = signal.signal(signal.SIGINT, lambda *_: interrupt(training, before))
    try:
        with Progress(training.settings, quiet) as progress:
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


def interrupt(training: Any, before: Any) -> None:
    """The first Ctrl-C ends the run after this step, saved; the second at once."""
    report.message("\nfinishing this step and saving; Ctrl-C again leaves at once")
    training.stop = True
    signal.signal(signal.SIGINT, before)
