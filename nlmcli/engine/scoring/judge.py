"""The answers of a task model beside the right ones: loss, accuracy and F1, correlation, spans."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.engine.reading.examples import Examples
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.scoring.accuracy import Accuracy, accuracy
from nlmcli.engine.scoring.correlation import Correlation, correlation
from nlmcli.engine.scoring.spans import SpanCounter, are_spans
from nlmcli.nn.precision import products_in

BATCH = 64  # texts answered at once
LEAST = 1e-30  # probability whose logarithm is still finite


@dataclass(frozen=True)
class Judgement:
    """loss: nats per answer, NaN if none has a label of the training part; or the squared error in deviations.

    One of accuracy and correlation; spans, if tags are spans.

    unseen: of words outside the training part, the number and how many tags are right; None if unknown.
    """

    loss: float
    accuracy: Accuracy | None = None
    correlation: Correlation | None = None
    spans: SpanCounter | None = None
    unseen: tuple[int, int] | None = None

    @property
    def figure(self) -> tuple[str, float]:
        """Name and value of the task's own figure, which tells the best checkpoint: higher is better."""
        if self.correlation:
            return "Pearson", self.correlation.pearson if math.isfinite(self.correlation.pearson) else -1.0
        if self.spans:
            return "span F1", self.spans.overall().f1
        assert self.accuracy
        return "accuracy", self.accuracy.accuracy


def outputs(model: TaskModel, examples: Examples) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The numbers of the examples in a batch, and the answers of the head, batch by batch, shortest texts first."""
    for members in examples.batches(BATCH):
        x = examples.x(members)
        with products_in(model.settings.precision):
            answers = model.model.predict(model.P, x, examples.read(members) if examples.tags else x >= 0)
        yield members, answers


def judge(model: TaskModel, examples: Examples, is_known: np.ndarray | None = None) -> Judgement:
    """Answer all examples and compare.  is_known: whether each word, in order, stands in the training part."""
    if not model.labels.names:
        return judge_numbers(model, examples)
    gold, said, nats, answered = [], [], 0.0, 0
    order = []
    for members, p in outputs(model, examples):
        is_label = examples.gold(members)
        real = is_label < model.model.L
        nats -= float(np.log(np.maximum(p[real, is_label[real]], LEAST)).sum())
        answered += int(real.sum())
        gold.append(is_label)
        said.append(p.argmax(1))
        order.append(members)
    golds, saids = (np.concatenate([np.empty(0, np.int64), *each]) for each in (gold, said))
    names = (*model.labels.names, *examples.unseen)
    return Judgement(
        nats / answered if answered else math.nan,
        accuracy(golds, saids, names),
        spans=judge_spans(names, order, gold, said, examples) if examples.tags and are_spans(model.labels.names) else None,
        unseen=None if is_known is None else judge_unseen(is_known, order, golds == saids, examples),
    )


def judge_numbers(model: TaskModel, examples: Examples) -> Judgement:
    """The correlation of the numbers as they were given, before they were standardized."""
    said = np.zeros(len(examples))
    for members, y_hat in outputs(model, examples):
        said[members] = y_hat
    labels = model.labels
    loss = float(np.mean((said - examples.answers) ** 2)) if len(said) else math.nan
    gold, answers = (labels.mean + labels.deviation * each for each in (examples.answers, said))
    return Judgement(loss, correlation=correlation(gold, answers, labels.mean))


def judge_spans(
    names: tuple[str, ...], order: list[Any], gold: list[np.ndarray], said: list[np.ndarray], examples: Examples
) -> SpanCounter:
    """Spans, text by text."""
    counter, counts = SpanCounter(), word_counts(examples)
    for members, is_tag, said_tag in zip(order, gold, said, strict=True):
        ends = np.cumsum(counts[members])[:-1]
        for one, other in zip(np.split(is_tag, ends), np.split(said_tag, ends), strict=True):
            counter.add([names[i] for i in one], [names[i] for i in other])
    return counter


def judge_unseen(is_known: np.ndarray, order: list[Any], right: np.ndarray, examples: Examples) -> tuple[int, int]:
    """How many words are unseen, and how many of their tags are right."""
    in_file = in_order(order, right, examples)
    return int((~is_known).sum()), int(in_file[~is_known].sum())


def word_counts(examples: Examples) -> np.ndarray:
    """The number of words of each text."""
    counts = np.concatenate([[0], np.cumsum(examples.answers >= 0)])
    return counts[examples.starts[1:]] - counts[examples.starts[:-1]]


def in_order(order: list[np.ndarray], values: np.ndarray, examples: Examples) -> np.ndarray:
    """Values of each word, given batch by batch, in the order of the file."""
    counts = word_counts(examples)
    firsts = np.concatenate([[0], np.cumsum(counts)])
    members = np.concatenate([np.empty(0, np.int64), *order])
    n = counts[members]
    offsets = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    out = np.empty_like(values)
    out[np.repeat(firsts[members], n) + offsets] = values
    return out
