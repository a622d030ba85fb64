"""The figures of a classifier, against hand-computed examples, slow definitions and scikit-learn."""

import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nlmcli.engine.scoring.accuracy import DENSE, LabelScore, accuracy

LABELS = ("neg", "pos", "mixed", "none", "zebra")
answers = st.lists(st.tuples(st.integers(0, len(LABELS) - 1), st.integers(0, len(LABELS) - 1)), min_size=1, max_size=40)
# Six examples: neg is right twice and once called pos; pos is right once and once called neg; mixed is called pos.
GOLD, SAID = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])


def columns(pairs):
    return (np.array(column) for column in zip(*pairs, strict=True))


def test_a_worked_example():
    score = accuracy(GOLD, SAID, LABELS)
    assert (score.count, score.correct, score.accuracy) == (6, 3, 0.5)
    assert score.of("neg") == LabelScore("neg", precision=2 / 3, recall=2 / 3, f1=2 / 3, count=3)
    assert score.of("pos") == LabelScore("pos", precision=1 / 3, recall=1 / 2, f1=2 / 5, count=2)
    assert score.of("mixed") == LabelScore("mixed", 0.0, 0.0, 0.0, 1)
    assert score.macro_f1 == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)
    assert score.weighted_f1 == pytest.approx((3 * 2 / 3 + 2 * 2 / 5 + 0) / 6)
    assert score.floor("neg") == 0.5 and score.floor("mixed") == 1 / 6 and score.floor("zebra") == 0
    assert score.interval == pytest.approx((0.18761, 0.81239), abs=1e-5)


def test_labels_are_sorted_by_frequency_then_by_name():
    score = accuracy(np.array([2, 1, 0, 0]), np.array([2, 1, 0, 3]), LABELS)
    assert [(label.label, label.count) for label in score.by_label()] == [("neg", 2), ("mixed", 1), ("pos", 1), ("none", 0)]


def test_mistakes_are_sorted_by_frequency_then_by_name():
    score = accuracy(np.array([0, 1, 2, 1, 4, 4, 0]), np.array([1, 2, 0, 0, 1, 1, 0]), LABELS)
    ordered = [("zebra", "pos", 2), ("mixed", "neg", 1), ("neg", "pos", 1), ("pos", "mixed", 1), ("pos", "neg", 1)]
    for k in range(7):
        assert score.mistakes(k) == ordered[:k]


def test_no_mistake():
    score = accuracy(GOLD, GOLD, LABELS)
    assert score.mistakes(3) == [] and score.accuracy == score.macro_f1 == score.weighted_f1 == 1 == score.interval[1]


@pytest.mark.parametrize("labels", [(), LABELS])
def test_no_examples(labels):
    score = accuracy(np.zeros(0, int), np.zeros(0, int), labels)
    assert (score.count, score.correct, score.accuracy, score.macro_f1, score.weighted_f1) == (0, 0, 0.0, 0.0, 0.0)
    assert score.interval == (0.0, 1.0) and score.by_label() == score.mistakes(5) == []
    assert score.confusion().shape == (len(labels), len(labels)) and not score.confusion().any()
    for label in labels:
        assert score.floor(label) == 0.0 and score.of(label) == LabelScore(label, 0.0, 0.0, 0.0, 0)


def test_one_label():
    score = accuracy(np.zeros(4, int), np.zeros(4, int), ["all"])
    assert score.accuracy == score.macro_f1 == score.floor("all") == 1 and score.confusion().tolist() == [[4]]


def test_a_label_only_in_the_answers_counts_in_macro_f1():
    score = accuracy(np.array([0, 0]), np.array([0, 3]), LABELS)
    assert score.macro_f1 == pytest.approx((2 / 3 + 0) / 2) and score.weighted_f1 == pytest.approx(2 / 3)


@given(answers)
def test_it_is_the_definition(pairs):
    gold, said = columns(pairs)
    score = accuracy(gold, said, LABELS)
    expected = {label: naive.label_figures(gold, said, k) for k, label in enumerate(LABELS)}
    for label, figures in expected.items():
        found = score.of(label)
        assert (found.precision, found.recall, found.f1, found.count) == pytest.approx(figures)
    assert score.confusion().tolist() == naive.confusion(gold, said, len(LABELS))
    assert score.interval == pytest.approx(naive.wilson(score.correct, score.count))
    assert all(mistake in score.mistakes(99) for mistake in [(LABELS[g], LABELS[s], pairs.count((g, s))) for g, s in pairs if g != s])


@given(answers)
@example([(0, 3)])
def test_it_is_what_scikit_learn_says(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    gold, said = columns(pairs)
    score = accuracy(gold, said, LABELS)
    assert score.accuracy == pytest.approx(metrics.accuracy_score(gold, said))
    assert score.macro_f1 == pytest.approx(metrics.f1_score(gold, said, average="macro", zero_division=0))
    assert score.weighted_f1 == pytest.approx(metrics.f1_score(gold, said, average="weighted", zero_division=0))
    assert (score.confusion() == metrics.confusion_matrix(gold, said, labels=range(len(LABELS)))).all()
    present = sorted({*gold.tolist(), *said.tolist()})
    figures = metrics.precision_recall_fscore_support(gold, said, labels=present, zero_division=0)
    expected = {LABELS[k]: tuple(row) for k, row in zip(present, np.transpose(figures), strict=True)}
    found = {label.label: (label.precision, label.recall, label.f1, label.count) for label in score.by_label()}
    assert found.keys() == expected.keys()
    for label in found:
        assert found[label] == pytest.approx(expected[label])


def test_many_labels():
    """Counts are kept by pair: (L,L) numbers would need 20 GB."""
    L = 50_000
    gold, said = np.arange(L), np.arange(L)[::-1].copy()
    score = accuracy(gold, said, [f"w{k}" for k in range(L)])
    assert len(score.counts) == L and score.correct == 0 and len(score.mistakes(3)) == 3
    with pytest.raises(ValueError, match="50,000 x 50,000 labels is too large"):
        score.confusion()
    assert accuracy(gold[:1], gold[:1], ["x"] * DENSE).confusion().sum() == 1


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32])
def test_indices_of_any_width(dtype):
    labels = [str(k) for k in range(100)]
    score = accuracy(np.array([99, 98], dtype), np.array([99, 97], dtype), labels)
    assert score.mistakes(9) == [("98", "97", 1)] and score.of("99").f1 == 1


@pytest.mark.parametrize(
    ("gold", "said", "message"),
    [
        ([0, 1], [0], "equal length"),
        ([0], [[0]], "equal length"),
        ([-1], [0], "out of range"),
        ([0], [5], "there are 5 labels"),
    ],
)
def test_what_are_no_answers_is_refused(gold, said, message):
    with pytest.raises(ValueError, match=message):
        accuracy(np.array(gold), np.array(said), LABELS)


def test_an_unknown_label_is_refused():
    score = accuracy(GOLD, SAID, LABELS)
    for figure in (score.of, score.floor):
        with pytest.raises(ValueError):
            figure("pso")
