"""Labelled texts as arrays, and their batches. Padding and order change nothing: a batch is a pure function of the step number."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from nlmcli.engine.reading.batches import PADDING, Batch, LabelledBatch
from nlmcli.engine.reading.lexicon import Lexicon
from nlmcli.engine.run.labels import Labels
from nlmcli.errors import InputError
from nlmcli.text.labelled import Example, quoted

MAX_POSITIONS = 1 << 14  # ids in a batch, padding included; of longer texts a batch holds fewer
CHUNK = 4096  # examples encoded at once
MAX_NUMBER = 1e100  # an answer; the sum of their squares is finite


@dataclass
class Examples:
    """n examples of one text, or of two.

    ids: those of all texts, each preceded by an end of line.  lengths (n · texts,).  answers: (n,) numbers or labels; for tag one
    for each id, PADDING where there is none.  unseen: labels that training did not have, numbered on from those it had, each
    with the line it was first seen on.  lines (n,): where the examples begin.  cut: the number of texts that were too long.
    """

    ids: np.ndarray
    lengths: np.ndarray
    answers: np.ndarray
    lines: np.ndarray
    paired: bool
    tags: bool
    labels: int  # those of training
    unseen: dict[str, int] = field(default_factory=dict)
    cut: int = 0

    def __post_init__(self) -> None:
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.longest = self.lengths.reshape(-1, 1 + self.paired).max(1) if len(self.lengths) else self.lengths

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def has_known(self) -> bool:
        """Whether an answer is a number or a label that training had."""
        return self.answers.dtype.kind == "f" or bool(((self.answers >= 0) & (self.answers < self.labels)).any())

    def x(self, members: np.ndarray) -> np.ndarray:
        """The ids of these examples, padded to the longest text: (T,B), or (2T,B) of pairs."""
        k = 1 + self.paired
        T = int(self.longest[members].max())
        x = np.full((k * T, len(members)), PADDING, np.int64)
        for part in range(k):
            texts = members * k + part
            fill(x[part * T : (part + 1) * T], self.ids, self.starts[texts], self.lengths[texts])
        return x

    def y(self, members: np.ndarray) -> np.ndarray:
        """Their answers: (1,B), or (T,B) of words. Labels that training did not have are PADDING."""
        answers = self.word_answers(members) if self.tags else self.answers[members][None]
        return answers if answers.dtype.kind == "f" else np.where(answers < self.labels, answers, PADDING)

    def gold(self, members: np.ndarray) -> np.ndarray:
        """Their answers in order, those of words text by text; labels that training did not have are numbered on."""
        if not self.tags:
            return self.answers[members]
        answers = self.word_answers(members).T
        return answers[answers >= 0]

    def read(self, members: np.ndarray) -> np.ndarray:
        """The steps (T,B) of words that have an answer, for tag."""
        return self.word_answers(members) >= 0

    def word_answers(self, members: np.ndarray) -> np.ndarray:
        """The answers of every step (T,B), PADDING where there is none, for tag."""
        answers = np.full((int(self.longest[members].max()), len(members)), PADDING, np.int64)
        fill(answers, self.answers, self.starts[members], self.lengths[members])
        return answers

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All examples by length, in batches of at most `size`."""
        order = np.argsort(self.longest, kind="stable")
        yield from np.split(order, edges(self.longest[order] * (1 + self.paired), size)[1:-1]) if len(self) else ()


def fill(out: np.ndarray, values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
    """out[:n, b] = values[start:start+n] for each text.  out (T,B)"""
    T = np.arange(len(out))[:, None]
    real = lengths > T
    out[real] = values[(starts + T)[real]]


def edges(lengths: np.ndarray, size: int) -> list[int]:
    """Where batches of examples of these lengths, ascending, begin and the last one ends: at most `size` and MAX_POSITIONS of them."""
    found, start = [0], 0
    while start < len(lengths):
        stop = min(start + size, len(lengths))
        while stop - start > 1 and (stop - start) * lengths[stop - 1] > MAX_POSITIONS:
            stop = start + max(1, min(stop - start - 1, int(MAX_POSITIONS // lengths[stop - 1])))
        found.append(stop)
        start = stop
    return found


class ExampleBatches:
    """The training batches: every example once an epoch, those of similar length together, in an order drawn by the seed."""

    def __init__(self, examples: Examples, batch_size: int, seed: int):
        self.examples, self.seed = examples, seed
        self.width = np.ceil(8 * np.log2(examples.longest)).astype(np.int64)  # similar: within 9 %
        longest = np.zeros(self.width.max() + 1, np.int64)
        np.maximum.at(longest, self.width, examples.longest)
        self.edges = edges(longest[np.sort(self.width)] * (1 + examples.paired), batch_size)
        self.steps_per_epoch = len(self.edges) - 1
        self.tokens = int(examples.lengths.sum())
        self.epoch, self.plan = -1, list[np.ndarray]()

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, k = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.epoch, self.plan = epoch, self.plan_epoch(epoch)
        return LabelledBatch(self.examples.x(self.plan[k]), self.examples.y(self.plan[k]), fresh=True)

    def plan_epoch(self, epoch: int) -> list[np.ndarray]:
        """The examples of every batch of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        order = np.lexsort((rng.random(len(self.width)), self.width))
        batches = np.split(order, self.edges[1:-1])
        return [batches[k] for k in rng.permutation(len(batches))]


class Reader:
    """Encodes examples.  task: of the head.  limit: the most tokens of a text that are read, its first end of line included."""

    def __init__(self, task: str, lexicon: Lexicon, labels: Labels, limit: int):
        self.task, self.lexicon, self.labels, self.limit = task, lexicon, labels, limit
        self.index = labels.index()

    def encode(self, examples: Iterable[Example]) -> Examples:
        """All examples, in memory as ids."""
        ids, lengths, lines, answers = array("i"), array("i"), array("q"), array("i" if self.labels.names else "d")
        unseen: dict[str, int] = {}
        cut = 0
        remaining = iter(examples)
        while chunk := list(islice(remaining, CHUNK)):
            encode = self.encode_words if self.task == "tag" else self.encode_texts
            cut += encode(chunk, ids, lengths, lines, answers, unseen)
        arrays = np.asarray(ids), np.asarray(lengths), np.asarray(answers), np.asarray(lines)
        return Examples(*arrays, self.labels.paired, self.task == "tag", len(self.labels.names), unseen, cut)

    def encode_texts(self, chunk: list[Example], ids: array, lengths: array, lines: array, answers: array, unseen: dict[str, int]) -> int:
        """-> the number of texts that were too long"""
        cut, newline = 0, self.lexicon.tokenizer.newline
        lines.extend(example.line for example in chunk)
        for text in self.lexicon.texts([text for example in chunk for text in example.texts]):
            cut += len(text) >= self.limit
            text = text[: self.limit - 1]
            ids.append(newline)
            ids.frombytes(text.astype(np.int32).tobytes())
            lengths.append(len(text) + 1)
        if not self.labels.names:
            answers.extend(
                (float(example.answers[0]) - self.labels.mean) / self.labels.deviation if example.answers else 0.0 for example in chunk
            )
        else:
            answers.extend(self.label(example.answers[0], example.line, unseen) if example.answers else 0 for example in chunk)
        return cut

    def encode_words(self, chunk: list[Example], ids: array, lengths: array, lines: array, answers: array, unseen: dict[str, int]) -> int:
        """A sentence that is too long becomes several texts, so that every word has an answer; one without words none.  -> 0"""
        for example in filter(lambda each: each.texts, chunk):
            start = 0
            for k, word in enumerate(example.texts):
                pieces = self.lexicon.word_ids(word, is_first=k == 0)[: self.limit - 1]
                if k == 0 or len(ids) - start + len(pieces) > self.limit:
                    if k:
                        lengths.append(len(ids) - start)
                    start = len(ids)
                    lines.append(example.line + k)
                    ids.append(self.lexicon.tokenizer.newline)
                    answers.append(PADDING)
                ids.extend(pieces)
                answers.extend([PADDING] * (len(pieces) - 1))
                answers.append(self.label(example.answers[k], example.line + k, unseen) if example.answers else 0)
            lengths.append(len(ids) - start)
        return 0

    def label(self, name: str, line: int, unseen: dict[str, int]) -> int:
        """The number of a label; of one that training did not have the next free one."""
        i = self.index.get(name)
        if i is None:
            unseen.setdefault(name, line)
            i = self.index[name] = len(self.index)
        return i


def number(example: Example, name: str) -> float:
    """The answer as a number.  Raises InputError if it is none, or so large that its square would not be finite."""
    answer = example.answers[0]
    try:
        value = float(answer.replace("_", "?"))  # Python reads 1_5 as 15
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{name} line {example.line}: {quoted(answer)} is not a number; write one such as 3 or -1.5")
    if abs(value) > MAX_NUMBER:
        raise InputError(f"{name} line {example.line}: {quoted(answer)} is too large; give numbers of at most {MAX_NUMBER:g}")
    return value
