"""nlm train: learn a language model from a text."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from nlmcli import models, optim
from nlmcli.cli import options, report
from nlmcli.optim.schedule import DECAYS

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MODEL, TRAINING, TEXT = "Model", "Training", "Text"


def opt(help: str, panel: str, metavar: str | None = None, *names: str, hidden: bool = False) -> Any:
    """An option. Its default stands in the help, in brackets that are no markup."""
    help = help.replace("[", r"\[")
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, show_default=False, hidden=hidden)


RESUME = "Go on with the run in --out, or the newest one, where it was saved: the same bits as if it had never stopped."
CONFIG = "A YAML file of options, by their long names, such as a run's config.yaml; what is typed goes first."
NAMES = f"{options.one_of(models.names())}. [default: rnn]"
OPTIMIZERS = f"{options.one_of(optim.names())}. [default: adam]"
SCHEDULES = f"{options.one_of(list(DECAYS))} (a quarter when validation stops improving). [default: cosine]"
BETA2 = "β₂ of adam, adamw, sophia and rmsprop. [default: 0.999; sophia, rmsprop: 0.99]"
WEIGHT_DECAY = "How much of η each weight, but no bias, shrinks by in a step; adamw, sophia. [default: 0.1; sophia: 0.2]"
HELD_OUT = "Else hold out the last part of the text, or so much of its distinct lines. [default: 0.1]"
HIDDEN = (
    "How many hidden units; cnn, gru, lstm, mamba, nplm, rnn, transformer, window. "
    "[default: 256; cnn: 64; mamba: twice embed; transformer: four times]"
)
LAYERS = "How many layers; gru, lstm, mamba, rnn, transformer. [default: 1; transformer: 4]"
CONTEXT = (
    "How many tokens it sees, or n; additive, cnn, ngram, nplm, transformer, window. "
    "[default: 8; additive: 3; cnn: 16; ngram: 5; transformer: 64]"
)
ADD_K = "Add X to every count, 1: Laplace, 0: do not smooth; ngram. [default: Kneser-Ney smoothing]"
STEPS = "Or how many batches. [default: ten epochs, but at least 1,000 and at most 5,000 steps]"
MINUTES = "Or how many minutes, evaluations included; linear and cosine go by the time then."


def train(
    ctx: typer.Context,
    corpus: options.Corpus = None,
    model: Annotated[str, opt(NAMES, MODEL, "NAME")] = "rnn",
    embed: Annotated[int | None, opt("How many numbers an embedding has; all but ngram. [default: 64]", MODEL, "D")] = None,
    hidden: Annotated[int | None, opt(HIDDEN, MODEL, "H")] = None,
    layers: Annotated[int | None, opt(LAYERS, MODEL, "L")] = None,
    heads: Annotated[int | None, opt("How many attention heads; transformer. [default: 4]", MODEL, "N")] = None,
    context: Annotated[int | None, opt(CONTEXT, MODEL, "N")] = None,
    tie: Annotated[bool | None, opt("Output embeddings are the input's; transformer. [default: tie]", MODEL)] = None,
    dropout: Annotated[float | None, opt("Share of units dropped in training; all but ngram. [default: 0]", MODEL, "P")] = None,
    add_k: Annotated[float | None, opt(ADD_K, MODEL, "X")] = None,
    tokenizer: Annotated[str, opt(f"{options.TOKENIZERS} [default: word]", TEXT, "NAME")] = "word",
    vocab_size: Annotated[int | None, opt(options.VOCAB_SIZE, TEXT, "N")] = None,
    min_count: Annotated[int | None, opt(options.MIN_COUNT, TEXT, "K")] = None,
    lowercase: Annotated[bool, opt("Read everything in lower case.", TEXT, None, "--lowercase")] = False,
    encoding: Annotated[str, opt("How the bytes are read. [default: utf-8]", TEXT, "NAME")] = "utf-8",
    by: Annotated[str, opt("stream: one long text; line: each line its own example. [default: stream]", TEXT, "WAY")] = "stream",
    valid: Annotated[str | None, opt("Validate on this file.", TEXT, "FILE")] = None,
    valid_fraction: Annotated[float, opt(HELD_OUT, TEXT, "X")] = 0.1,
    batch_size: Annotated[int, opt("How many texts are read side by side. [default: 32]", TRAINING, "B")] = 32,
    seq_len: Annotated[int, opt("How many steps back-propagation goes back in time. [default: 64]", TRAINING, "T")] = 64,
    optimizer: Annotated[str, opt(OPTIMIZERS, TRAINING, "NAME")] = "adam",
    lr: Annotated[float | None, opt("Learning rate. [default: the optimizer's, for some models a multiple]", TRAINING, "X")] = None,
    beta: Annotated[float | None, opt("momentum's β. [default: 0.1]", TRAINING, "X")] = None,
    beta1: Annotated[float | None, opt("β₁ of adam, adamw and sophia. [default: 0.9; sophia: 0.96]", TRAINING, "X")] = None,
    beta2: Annotated[float | None, opt(BETA2, TRAINING, "X")] = None,
    epsilon: Annotated[float | None, opt("What keeps a division from being by zero. [default: the optimizer's]", TRAINING, "X")] = None,
    weight_decay: Annotated[float | None, opt(WEIGHT_DECAY, TRAINING, "X")] = None,
    schedule: Annotated[str, opt(SCHEDULES, TRAINING, "NAME")] = "cosine",
    warmup: Annotated[int, opt("Steps until the learning rate is reached. [default: 0]", TRAINING, "N")] = 0,
    clip: Annotated[float, opt("Longest gradient; 0 does not clip. [default: 1]", TRAINING, "X")] = 1.0,
    epochs: Annotated[float | None, opt("How often to read the text.", TRAINING, "N")] = None,
    steps: Annotated[int | None, opt(STEPS, TRAINING, "N")] = None,
    minutes: Annotated[float | None, opt(MINUTES, TRAINING, "X")] = None,
    eval_every: Annotated[int | None, opt("Validate every N steps; 0: never. [default: ten times]", TRAINING, "N")] = None,
    patience: Annotated[int | None, opt("Stop after N evaluations in a row that are no better than the best.", TRAINING, "N")] = None,
    seed: Annotated[int, opt("The same seed gives the same model, to the bit. [default: 1]", TRAINING, "N")] = 1,
    threads: Annotated[int | None, opt("How many threads. [default: the processors there are]", TRAINING, "N")] = None,
    preset: Annotated[str | None, opt("Options that ship with nlm; what is typed goes first.", TRAINING, "NAME")] = None,
    presets: Annotated[bool, opt("List the presets, with their sizes and results.", TRAINING, None, "--presets")] = False,
    config: Annotated[Path | None, opt(CONFIG, TRAINING, "FILE")] = None,
    out: Annotated[Path | None, opt("The run's folder. [default: runs/CORPUS-MODEL-N]", TRAINING, "PATH")] = None,
    resume: Annotated[bool, opt(RESUME, TRAINING, None, "--resume")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Learn a language model from a text.

    Example: nlm train --model rnn
    """
    given = dict(locals()) | {"corpus": tuple(corpus or ())}
    for name in ("ctx", "preset", "presets", "config", "out", "resume", "threads", "json", "quiet", "debug"):
        del given[name]
    if presets:
        list_presets(json)
        return 0
    typed = {name: value for name, value in given.items() if was_typed(ctx, name)}
    from nlmcli.cli.progress import Progress
    from nlmcli.engine.api import begin
    from nlmcli.engine.records import Finished
    from nlmcli.engine.settings import Settings
    from nlmcli.engine.train import Training

    training: Any
    if resume:
        from nlmcli.engine.language_model import newest_run

        training = Training.resumed(out or newest_run(), chosen(preset, config, typed), threads)
    else:
        training = begin(Settings(**given | chosen(preset, config, typed)), out, threads)
    progress = Progress(training.settings, quiet)
    before: dict[int, Any] = {number: signal.signal(number, lambda *_: interrupt(training, progress, before)) for number in SIGNALS}
    try:
        with progress:
            for record in training.run():
                progress.show(record)
    finally:
        restore(before)
    assert isinstance(record, Finished)  # the last record of every run
    if json:
        report.document(vars(record))
    elif not quiet:
        progress.summary(record)
    return 1 if record.diverged else 130 if record.interrupted else 0


def chosen(preset: str | None, config: Path | None, typed: dict[str, Any]) -> dict[str, Any]:
    """The options of a preset, over them those of a file, over them those on the command line."""
    from nlmcli.engine import presets
    from nlmcli.engine.settings import LENGTHS, read_options

    found: dict[str, Any] = {}
    for more in (preset and presets.preset(preset).options, config and read_options(config), typed):
        if more and not LENGTHS.isdisjoint(more):  # --minutes in place of a preset's steps
            found = {name: value for name, value in found.items() if name not in LENGTHS}
        found |= more or {}
    return found


def list_presets(json: bool) -> None:
    """Name, what it is, and what to expect."""
    from nlmcli.engine.presets import presets

    if json:
        report.document({"presets": [vars(each) for each in presets()]})
        return
    for each in presets():
        report.data(f"{each.name}\n  {each.about}\n  {each.result}")


def was_typed(ctx: Any, name: str) -> bool:
    """Whether an option stands on the command line; else it has its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def interrupt(training: Any, progress: Any, before: dict[int, Any]) -> None:
    """The first Ctrl-C, or request to end, ends the run after this step, saved; the second at once."""
    training.stop = True
    restore(before)
    progress.interrupt()


def restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
