"""How often a classifier is right: accuracy, precision, recall and F1 of each label, and what is mistaken for what.

    precision = hits / said,   recall = hits / count,   F1 = 2 hits / (count + said)

count: examples that have the label; said: examples that were given it; hits: both. 0 / 0 counts as 0.  van Rijsbergen 1979
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Z = 1.959963984540054  # a standard normal variable lies within ±Z with probability 0.95
DENSE = 1000  # labels of the largest matrix that is built: 8 MB


@dataclass(frozen=True)
class LabelScore:
    """The figures of one label.  count: examples that have it"""

    label: str
    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class Accuracy:
    """The confusions that occur, each pair of labels once: counts[p] examples are labels[gold[p]] and were said to be labels[said[p]].

    gold, said, counts (P,), int64
    """

    labels: tuple[str, ...]
    gold: np.ndarray
    said: np.ndarray
    counts: np.ndarray

    @cached_property
    def totals(self) -> np.ndarray:
        """Of each label: the examples that have it, those said to have it, and those of which both are true.  (3,L) int64"""
        hit, L = self.gold == self.said, len(self.labels)
        parts = ((self.gold, self.counts), (self.said, self.counts), (self.gold[hit], self.counts[hit]))
        return np.stack([np.bincount(label, n, minlength=L) for label, n in parts]).astype(np.int64)  # floats, exact up to 2⁵³

    @cached_property
    def figures(self) -> np.ndarray:
        """Precision, recall and F1 of each label.  (3,L)"""
        count, said, hits = self.totals
        return np.stack([ratio(hits, said), ratio(hits, count), ratio(2 * hits, count + said)])

    @cached_property
    def present(self) -> np.ndarray:
        """Indices of the labels that an example has or was said to have."""
        return np.flatnonzero(self.totals[:2].any(0))

    @property
    def count(self) -> int:
        """All examples."""
        return int(self.counts.sum())

    @property
    def correct(self) -> int:
        return int(self.totals[2].sum())

    @property
    def accuracy(self) -> float:
        """correct / count, 0 if there are no examples."""
        return self.correct / self.count if self.count else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy on more examples of this kind lies, with 95 % confidence: the score interval.  Wilson 1927"""
        return wilson_low(self.correct, self.count), 1 - wilson_low(self.count - self.correct, self.count)

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that an example has or was said to have, 0 if there are no examples."""
        return float(self.figures[2, self.present].mean()) if len(self.present) else 0.0

    @property
    def weighted_f1(self) -> float:
        """The mean over all examples of the F1 of the label that each has, 0 if there are no examples."""
        return float(self.figures[2] @ self.totals[0]) / self.count if self.count else 0.0

    def floor(self, label: str) -> float:
        """The accuracy of always answering this label.  Raises ValueError for an unknown label."""
        return self.of(label).count / self.count if self.count else 0.0

    def of(self, label: str) -> LabelScore:
        """The figures of a label, all 0 if it does not occur.  Raises ValueError for an unknown label."""
        return self.label_score(self.labels.index(label))

    def label_score(self, index: int) -> LabelScore:
        precision, recall, f1 = self.figures[:, index].tolist()
        return LabelScore(self.labels[index], precision, recall, f1, int(self.totals[0, index]))

    def by_label(self) -> list[LabelScore]:
        """The figures of the labels that an example has or was said to have, commonest first, then in the order of the labels' names."""
        return sorted(map(self.label_score, self.present.tolist()), key=lambda score: (-score.count, score.label))

    def mistakes(self, k: int) -> list[tuple[str, str, int]]:
        """The k most frequent mistakes (is, said, n), then in the order of the labels' names."""
        place, wrong = np.empty(len(self.labels), np.int64), np.flatnonzero(self.gold != self.said)
        place[sorted(range(len(self.labels)), key=self.labels.__getitem__)] = np.arange(len(self.labels))
        gold, said, counts = self.gold[wrong], self.said[wrong], self.counts[wrong]
        order = np.lexsort((place[said], place[gold], -counts))[:k]
        return [(self.labels[gold[p]], self.labels[said[p]], int(counts[p])) for p in order]

    def confusion(self) -> np.ndarray:
        """(L,L) int64: rows what it is, columns what was said.  Raises ValueError for more than DENSE labels."""
        L = len(self.labels)
        if L > DENSE:
            raise ValueError(f"a matrix of {L:,} x {L:,} labels is too large; the limit is {DENSE:,}")
        matrix = np.zeros((L, L), np.int64)
        matrix[self.gold, self.said] = self.counts
        return matrix


def accuracy(gold: np.ndarray, said: np.ndarray, labels: Sequence[str]) -> Accuracy:
    """Count what is said to be what.  gold, said (N,): indices into labels

    Raises ValueError if there is not one answer for each example, or for an index out of range.
    """
    gold, said, L = np.asarray(gold), np.asarray(said), max(1, len(labels))
    if gold.ndim != 1 or gold.shape != said.shape:
        raise ValueError(f"gold has shape {gold.shape}, said {said.shape}; give two vectors of equal length")
    for indices in (gold, said):
        if ((indices < 0) | (indices >= len(labels))).any():
            raise ValueError(f"an index is out of range: there are {len(labels):,} labels")
    pairs, counts = np.unique(gold.astype(np.int64) * L + said.astype(np.int64), return_counts=True)
    return Accuracy(tuple(labels), pairs // L, pairs % L, counts.astype(np.int64))


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, 0 where b is 0.  (L,)"""
    return np.divide(a, b, out=np.zeros(len(b)), where=b > 0)


def wilson_low(correct: int, count: int) -> float:
    """The low end of Wilson's score interval (1927), 0 if there are no examples; the high end is 1 less that of the errors.

    (2c + z² - z √(z² + 4c(n - c)/n)) / 2(n + z²), c of n correct: the p below c/n with (c/n - p)² = z² p(1 - p)/n
    """
    if not count:
        return 0.0
    spread = Z * math.sqrt(Z * Z + 4 * correct * (count - correct) / count)
    return (2 * correct + Z * Z - spread) / (2 * (count + Z * Z))
