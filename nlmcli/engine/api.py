"""The Python API: what the commands do, as functions that return their results and print nothing.

lm = nlmcli.train(text, model="rnn", steps=1000)        or, later:  lm = nlmcli.load("runs/text-rnn-1")
lm.next_words("students opened their", k=5)
lm.score("students opened their books .")["perplexity"]
lm.generate("students opened their", length=20, seed=1)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.exchange.export import export
from nlmcli.engine.run import saved
from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.ownership import claimed
from nlmcli.engine.run.settings import Settings, options_of
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.scoring.evaluate import each_token, evaluate
from nlmcli.engine.scoring.evaluate_task import evaluate_task
from nlmcli.engine.scoring.predict import Answering, Predicted, split_words, text_example
from nlmcli.engine.training.count import Counting
from nlmcli.engine.training.initial import with_init
from nlmcli.engine.training.records import Finished, Record
from nlmcli.engine.training.runs import check_unused
from nlmcli.engine.training.train import Training
from nlmcli.engine.viewing import inside, inspect
from nlmcli.engine.writing.generate import next_words, readable, write
from nlmcli.engine.writing.sampling import Sampling
from nlmcli.errors import InputError
from nlmcli.models import MODELS
from nlmcli.options import check_whole, long_name


class Trained:
    """A trained language model, loaded from a run.

    run: its folder; options: those it was trained with, by their long names; parameters: the arrays by their letters.
    """

    def __init__(self, lm: LanguageModel, run: Path):
        self.lm, self.run = lm, run
        self.options: dict[str, Any] = lm.settings.to_dict()
        self.parameters: dict[str, np.ndarray] = dict(lm.P.items())

    def __repr__(self) -> str:
        return f"<{self.lm.settings.model} of {self.lm.P.flat.size:,} parameters, {self.run}>"

    def generate(
        self, prompt: str = "", length: int = 100, seed: int | None = None, stop: str | Sequence[str] = (), sampling: Sampling | None = None
    ) -> str:
        """The prompt and its continuation by up to `length` tokens; the same seed gives the same text. See `stream`."""
        return prompt + "".join(self.stream(prompt, length, seed, stop, sampling))

    def stream(
        self, prompt: str = "", length: int = 100, seed: int | None = None, stop: str | Sequence[str] = (), sampling: Sampling | None = None
    ) -> Iterator[str]:
        """The continuation of the prompt, piece by piece as it is generated; it ends before a string of `stop`.

        stop: a string or several.  sampling: for example nlmcli.Sampling(temperature=0.8, top_k=40).  Words and characters never
        seen in training are replaced as in `nlm generate`.  Raises InputError for a value out of range.
        """
        prompt, _ = readable(self.lm, prompt)
        for _, piece in write(self.lm, prompt, length, 1, seed, sampling, (stop,) if isinstance(stop, str) else tuple(stop)):
            yield piece

    def next_words(self, prompt: str = "", k: int = 5, sampling: Sampling | None = None) -> list[tuple[str, float]]:
        """The k most probable next tokens after the prompt, with their probabilities."""
        prompt, _ = readable(self.lm, prompt)
        return next_words(self.lm, prompt, k, sampling)

    def score(self, text: str) -> dict[str, Any]:
        """The evaluation of a text, with the keys of `nlm eval --text TEXT --json`."""
        return evaluate(self.lm, text=text).report()

    def tokens(self, text: str) -> list[dict[str, Any]]:
        """P(token | all tokens before it) of each token of a text: token, piece, p, nats, bits, rank."""
        return list(each_token(self.lm, text))

    def hidden(self, text: str) -> np.ndarray:
        """h after each token, (N,H): what the output layer reads to predict the next token.  Raises InputError for an n-gram model."""
        return inside.hidden(self.lm, inside.read(self.lm, text))

    def attention(self, text: str) -> np.ndarray:
        """Of a Transformer: how much each position attends to each, (layers,heads,N+1,N+1).

        Position 0 is the end of line before the text; row t is a distribution over the positions 0 to t.  Raises InputError for
        another model, and for a text longer than its context.
        """
        return inside.attention(self.lm, inside.read(self.lm, text))

    def step_sizes(self, text: str) -> np.ndarray:
        """Of Mamba: Δ of each channel of each layer at each token, (N,layers,channels).  Raises InputError for another model."""
        return inside.step_sizes(self.lm, inside.read(self.lm, text))

    def neighbors(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The k types with the largest cosine similarity to the word's embedding.  Raises InputError for an unknown word."""
        check_whole("k", k, 1)
        return inspect.neighbors(self.lm, word, k)

    def export(self, path: str | Path, to: str | None = None) -> list[str]:
        """Write the model in a format of other programs, as `nlm export` does.  -> notes on what was written"""
        return list(export(self.lm, Path(path), to).notes)


class TrainedTask:
    """A run on labelled texts.

    run: its folder; options: those it was trained with, by their long names; parameters: the arrays by their letters;
    labels: the labels, the commonest first; empty for numbers.
    """

    def __init__(self, model: TaskModel, run: Path):
        self.model, self.run = model, run
        self.options: dict[str, Any] = model.settings.to_dict()
        self.parameters: dict[str, np.ndarray] = dict(model.P.items())
        self.labels = model.labels.names

    def __repr__(self) -> str:
        s = self.model.settings
        return f"<{s.task} by {s.model} of {self.model.P.flat.size:,} parameters, {self.run}>"

    def predict(self, texts: Sequence[str | tuple[str, str]]) -> list[Any]:
        """The answer to each text, or pair of texts: (label, probability), a number, or [(word, tag), ...].

        Raises InputError for a single text where the run was trained on pairs, or the other way round.
        """
        answering, tags = Answering(self.model), self.model.settings.task == "tag"
        examples = [text_example(self.model, (text,) if isinstance(text, str) else tuple(text)) for text in texts]
        answers: list[Any] = []
        for chunk in answering.predict(split_words(examples, None) if tags else examples):
            answers += answers_of(chunk, self.labels, tags)
        return answers

    def score(self, *files: str | Path) -> dict[str, Any]:
        """The evaluation of labelled files, by default of the held-out part, with the keys of `nlm eval --json`."""
        return evaluate_task(self.model, tuple(map(str, files))).report()


def answers_of(chunk: Predicted, names: Sequence[str], tags: bool) -> list[Any]:
    """The answers to a chunk of texts."""
    if chunk.numbers is not None:
        return chunk.numbers.tolist()
    assert chunk.labels is not None and chunk.probabilities is not None
    labels = [names[i] for i in chunk.labels[:, 0].tolist()]
    if not tags:
        return list(zip(labels, chunk.probabilities[:, 0].tolist(), strict=True))
    remaining = iter(labels)
    return [[(word, next(remaining)) for word in example.texts] for example in chunk.examples]


def load(run: str | Path | None = None) -> Any:
    """Load the model from a run's folder, from a checkpoint, or from the newest run under ./runs.

    It is a Trained, or a TrainedTask if the run learned from labelled texts.

    Raises InputError if there is no checkpoint or it is damaged.
    """
    path = saved.newest_run() if run is None else Path(run)
    model, folder = saved.load(path), path if path.is_dir() else path.parent
    if isinstance(model, TaskModel):
        return TrainedTask(model, folder)
    assert isinstance(model, LanguageModel)
    return Trained(model, folder)


def train(
    text: str | Path | Sequence[Path] | None = None,
    out: str | Path | None = None,
    threads: int | None = None,
    on_record: Callable[[Record], object] | None = None,
    **options: Any,
) -> Any:
    """Train a model and return its best checkpoint, as `load` does.

    text: the text itself, or one or several Paths of files; None: the corpus that ships with nlm.  out: the run's folder,
    where the text is saved too; None: a new one under ./runs.  on_record: called with every record of the training.
    options: those of `nlm train`, such as model="rnn", batch_size=32.  Raises InputError for invalid options, or if
    training diverges.
    """
    settings, folder = Settings.of(**with_init(options_by_field(options))), None if out is None else Path(out)
    if isinstance(text, str):
        settings.check()
        check_not_file(text)
        with claimed(folder, f"text-{settings.model}") as folder:
            check_unused(folder)
            settings = replace(settings, encoding="utf-8", corpus=(str(save_text(text, folder)),))
            return run_to_end(begin(settings, folder, threads), on_record)
    paths = () if text is None else (text,) if isinstance(text, Path) else tuple(text)
    return run_to_end(begin(replace(settings, corpus=tuple(map(str, paths))), folder, threads), on_record)


def resume(
    run: str | Path | None = None, threads: int | None = None, on_record: Callable[[Record], object] | None = None, **options: Any
) -> Any:
    """Resume a run from its last checkpoint, to the same bits as if it had never stopped, or extend it to more `steps`."""
    folder = saved.newest_run() if run is None else Path(run)
    return run_to_end(Training.resumed(folder, options_by_field(options), threads), on_record)


def options_by_field(options: dict[str, Any]) -> dict[str, Any]:
    """The options by the field names of Settings.  Raises InputError for an unknown name, or a value of the wrong type."""
    return options_of({long_name(name): value for name, value in options.items()})


def begin(settings: Settings, out: Path | None = None, threads: int | None = None) -> Training | Counting:
    """Create a run for the model of the settings, without starting it."""
    return (Training if MODELS.get(settings.model).neural else Counting)(settings, out, threads)


def run_to_end(training: Training | Counting, on_record: Callable[[Record], object] | None) -> Any:
    """Run to the end and load the result.  Raises InputError if training diverges."""
    for record in training.run():
        if on_record:
            on_record(record)
        if isinstance(record, Finished) and record.diverged:
            raise InputError(
                f"training diverged and is no better than guessing; {training.folder} holds the last good checkpoint; try a smaller lr"
            )
    return load(training.folder)


def check_not_file(text: str) -> None:
    """Raises InputError for a text that is the name of a file."""
    if "\n" not in text and len(text) < 256 and Path(text).is_file():
        raise InputError(f"{text!r} is the name of a file; to train on its contents, give Path({text!r})")


def save_text(text: str, folder: Path) -> Path:
    """Save the text as a file in the run's folder.  -> its path"""
    path = folder / "corpus.txt"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path
