"""The answers of a task model to new texts, in their order, chunk by chunk: memory does not grow with the text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from nlmcli.engine.reading.examples import CHUNK, Examples, Reader
from nlmcli.engine.reading.labelled_dataset import columns_of
from nlmcli.engine.reading.lexicon import Lexicon
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.scoring.judge import in_order, outputs
from nlmcli.errors import InputError
from nlmcli.text.corpus import normalized
from nlmcli.text.labelled import Example, Labelled
from nlmcli.text.tokenizers.word import Word


@dataclass(frozen=True)
class Predicted:
    """The answers to a chunk of texts.  labels, probabilities (N,K): the K most probable of each text or word; or numbers (N,).

    examples: the texts; those of --task tag are words, one answer each.
    """

    examples: list[Example]
    labels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    numbers: np.ndarray | None = None


class Answering:
    """A task model with its lexicon, which grows with the words that it reads."""

    def __init__(self, model: TaskModel):
        self.model = model
        self.lexicon = Lexicon(model.tokenizer, model.model.encoder.buckets > 0)

    def encode(self, examples: Iterable[Example]) -> Examples:
        """The examples as ids; from now on the encoder knows the forms of their words."""
        s = self.model.settings
        encoded = Reader(s.task, self.lexicon, self.model.labels, s.seq_len).encode(examples)
        self.model.model.encoder.forms = self.lexicon.forms()
        return encoded

    def predict(self, examples: Iterable[Example], k: int = 1) -> Iterator[Predicted]:
        """The k most probable answers to each text, or to each word."""
        remaining = iter(examples)
        while chunk := list(islice(remaining, CHUNK)):
            self.lexicon.forget()
            yield self.answers(chunk, k)

    def answers(self, chunk: list[Example], k: int) -> Predicted:
        encoded = self.encode(Example(each.line, each.texts, ()) for each in chunk)
        order: list[np.ndarray] = []
        found: list[tuple[np.ndarray, ...]] = []
        for members, values in outputs(self.model, encoded):
            order.append(members)
            found.append(most_probable(values, k) if self.model.labels.names else (values,))  # of many labels, all would fill the memory
        columns = [in_file_order(order, np.concatenate(column), encoded) for column in zip(*found, strict=True)]
        if not self.model.labels.names:
            labels = self.model.labels
            return Predicted(chunk, numbers=labels.mean + labels.deviation * columns[0].astype(np.float64))
        return Predicted(chunk, *(columns or (np.empty((0, k), np.int64), np.empty((0, k)))))


def most_probable(p: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k most probable labels of each row, and their probabilities.  p (N,L)"""
    top = np.argsort(-p, axis=1, kind="stable")[:, :k].copy() if k > 1 else p.argmax(1)[:, None]
    return top, np.take_along_axis(p, top, 1)


def in_file_order(order: list[np.ndarray], values: np.ndarray, examples: Examples) -> np.ndarray:
    """Values of each text, or of each word, given batch by batch, in the order of the file."""
    if examples.tags:
        return in_order(order, values, examples)
    given = np.empty_like(values)
    given[np.concatenate(order)] = values
    return given


def file_examples(model: TaskModel, path: str) -> Labelled:
    """The texts of a file, with or without answers.  Raises InputError if it cannot be read."""
    s, paired = model.settings, model.labels.paired
    expected = None if s.task == "tag" else 2 + paired
    file = Labelled(path, s.task, columns_of(s), s.encoding, answers=False, expected=expected)
    check_texts(model, file)
    return file


def check_texts(model: TaskModel, file: Labelled) -> None:
    """Raises InputError if the examples of a file have one text and those of the training had two, or the other way round."""
    if file.paired != model.labels.paired and model.settings.task != "tag":
        has, wants = ("two texts", "one") if file.paired else ("one text", "two, with a tab between them")
        raise InputError(f"{file.name} has {has} a line, and this run was trained on {wants}")


def split_words(examples: Iterable[Example], file: Labelled | None) -> Iterator[Example]:
    """Sentences of running text as words; examples of other files as they are."""
    for example in examples:
        is_running = file is None or file.description == "lines"
        yield Example(example.line, tuple(words_of(example.texts[0])), ()) if is_running else example


def words_of(text: str) -> list[str]:
    """The words and punctuation marks of a running text."""
    return [piece for string in text.split() for piece in Word.split(string)]


def text_example(model: TaskModel, texts: tuple[str, ...]) -> Example:
    """The texts of --text.  Raises InputError for the wrong number of them."""
    wanted = 1 + model.labels.paired
    if len(texts) != wanted:
        raise InputError(
            f"this run was trained on {'pairs of texts' if wanted == 2 else 'single texts'}; give --text {['once', 'twice'][wanted - 1]}"
        )
    clean: Any = tuple(" ".join(normalized(text).split("\n")) for text in texts)
    return Example(1, clean, ())
