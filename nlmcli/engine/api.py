"""nlm from Python: what the commands do, as functions that return and print nothing.

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

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.engine.run.language_model import LanguageModel, newest_run
from nlmcli.engine.run.ownership import claimed
from nlmcli.engine.run.settings import Settings, options_of
from nlmcli.engine.scoring.evaluate import each_token, evaluate
from nlmcli.engine.training.count import Counting
from nlmcli.engine.training.records import Finished, Record
from nlmcli.engine.training.runs import check_free
from nlmcli.engine.training.train import Training
from nlmcli.engine.viewing import inspect
from nlmcli.engine.writing.generate import next_words, readable, write
from nlmcli.engine.writing.sampling import Sampling
from nlmcli.errors import InputError
from nlmcli.models import MODELS
from nlmcli.options import check_whole, long_name


class Trained:
    """A trained language model: a run that was loaded, or has just been made.

    run: its folder; options: those that it was trained with, by their long names; parameters: the arrays by their letters.
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
        """The prompt and up to `length` tokens more; the same seed writes the same text. See `stream`."""
        return prompt + "".join(self.stream(prompt, length, seed, stop, sampling))

    def stream(
        self, prompt: str = "", length: int = 100, seed: int | None = None, stop: str | Sequence[str] = (), sampling: Sampling | None = None
    ) -> Iterator[str]:
        """What follows the prompt, piece by piece as it is written; ends before a string of `stop`.

        stop: a text, or several.  sampling: such as nlmcli.Sampling(temperature=0.8, top_k=40).  What the model never saw in
        training is read as `nlm generate` reads it.  Raises InputError for a value out of range.
        """
        prompt, _ = readable(self.lm, prompt)
        for _, piece in write(self.lm, prompt, length, 1, seed, sampling, (stop,) if isinstance(stop, str) else tuple(stop)):
            yield piece

    def next_words(self, prompt: str = "", k: int = 5, sampling: Sampling | None = None) -> list[tuple[str, float]]:
        """The k most probable next tokens after the prompt, with their probabilities."""
        prompt, _ = readable(self.lm, prompt)
        return next_words(self.lm, prompt, k, sampling)

    def score(self, text: str) -> dict[str, Any]:
        """How well the model predicts a text: what `nlm eval --text TEXT --json` says, by the same names."""
        return evaluate(self.lm, text=text).report()

    def tokens(self, text: str) -> list[dict[str, Any]]:
        """P(token | all before it) of each token of a text: token, p, nats, bits, rank."""
        return list(each_token(self.lm, text))

    def neighbors(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The k types whose embeddings have the largest cosine with the word's.  Raises InputError for an unknown word."""
        check_whole("k", k, 1)
        return inspect.neighbors(self.lm, word, k)


def load(run: str | Path | None = None) -> Trained:
    """The model of a run's folder, of one checkpoint, or of the newest run under ./runs.

    Raises InputError where there is none, or not a whole one.
    """
    path = newest_run() if run is None else Path(run)
    return Trained(LanguageModel.load(path), path if path.is_dir() else path.parent)


def train(
    text: str | Path | Sequence[Path] | None = None,
    out: str | Path | None = None,
    threads: int | None = None,
    on_record: Callable[[Record], object] | None = None,
    **options: Any,
) -> Trained:
    """Learn a language model and return the best one of the run.

    text: the text itself, or a Path, or several, of files; None: the corpus that ships with nlm.  out: the run's folder,
    where a text is kept too; None: a new one under ./runs.  on_record: is called with every record of the training.
    options: those of `nlm train`, such as model="rnn", batch_size=32.  Raises InputError for bad ones, and where training
    ends no better than guessing.
    """
    settings, folder = Settings.of(**by_field(options)), None if out is None else Path(out)
    if isinstance(text, str):
        settings.check()
        refuse_name(text)
        with claimed(folder, f"text-{settings.model}") as folder:
            check_free(folder)
            settings = replace(settings, encoding="utf-8", corpus=(str(kept(text, folder)),))
            return follow(begin(settings, folder, threads), on_record)
    paths = () if text is None else (text,) if isinstance(text, Path) else tuple(text)
    return follow(begin(replace(settings, corpus=tuple(map(str, paths))), folder, threads), on_record)


def resume(
    run: str | Path | None = None, threads: int | None = None, on_record: Callable[[Record], object] | None = None, **options: Any
) -> Trained:
    """Go on with a run where it was saved, to the same bits as if it had never stopped, or for more `steps`."""
    folder = newest_run() if run is None else Path(run)
    return follow(Training.resumed(folder, by_field(options), threads), on_record)


def by_field(options: dict[str, Any]) -> dict[str, Any]:
    """Options as Settings holds them.  Raises InputError for a name there is not, or a value of another kind."""
    return options_of({long_name(name): value for name, value in options.items()})


def begin(settings: Settings, out: Path | None = None, threads: int | None = None) -> Training | Counting:
    """A run that has not started yet."""
    return (Training if MODELS.get(settings.model).neural else Counting)(settings, out, threads)


def follow(training: Training | Counting, on_record: Callable[[Record], object] | None) -> Trained:
    """Run to the end.  Raises InputError where that is no better than guessing."""
    for record in training.run():
        if on_record:
            on_record(record)
        if isinstance(record, Finished) and record.diverged:
            raise InputError(f"training gets no better than guessing; {training.folder} holds the last good state; try a smaller lr")
    return load(training.folder)


def refuse_name(text: str) -> None:
    """Raises InputError for a text that is the name of a file."""
    if "\n" not in text and len(text) < 256 and Path(text).is_file():
        raise InputError(f"{text!r} is the name of a file; to train on what is in it, give Path({text!r})")


def kept(text: str, folder: Path) -> Path:
    """The text as a file in the run's folder."""
    path = folder / "corpus.txt"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path
