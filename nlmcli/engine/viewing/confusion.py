"""The confusion matrix of a classifier or a tagger: how often each label is said to be each."""

from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.scoring.evaluate_task import TaskEvaluation
from nlmcli.engine.viewing.figures import COOL, TEXT, WARM, new_axes, new_figure, save_figure
from nlmcli.errors import InputError

MATRIX = 20  # labels that are shown
LABEL_INCHES, EXTRA_INCHES = 0.45, 2.0


def confusion(e: TaskEvaluation) -> dict[str, Any] | None:
    """The commonest labels and how often each is said to be each; None of numbers.  counts[i][j]: labels[i] was said to be labels[j]"""
    a = e.judgement.accuracy
    if a is None:
        return None
    first = sorted(np.argsort(-a.totals[0], kind="stable")[:MATRIX].tolist())
    place = {label: k for k, label in enumerate(first)}
    counts = np.zeros((len(first), len(first)), np.int64)
    for gold, said, n in zip(a.gold.tolist(), a.said.tolist(), a.counts.tolist(), strict=True):
        if gold in place and said in place:
            counts[place[gold], place[said]] += n
    return {"labels": [a.labels[i] for i in first], "counts": counts.tolist(), "others": len(a.labels) - len(first)}


def save_confusion_plot(e: TaskEvaluation, path: Path) -> None:
    """Draw the matrix: right answers cool, wrong ones warm, the deeper, the larger their share of the row.

    Raises InputError for a regression, or if it cannot be drawn.
    """
    found = confusion(e)
    if found is None:
        raise InputError("--plot draws what is taken for what, and this run answers with numbers; leave it out")
    labels, counts = found["labels"], np.array(found["counts"])
    figure = new_figure(path, (len(labels) * LABEL_INCHES + EXTRA_INCHES, len(labels) * LABEL_INCHES + EXTRA_INCHES))
    axes = new_axes(figure, xlabel="said", ylabel="is")
    axes.grid(False)
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), aspect="equal")
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for (i, j), n in np.ndenumerate(counts):
        if n:
            axes.add_patch(rectangle(j, i, COOL if i == j else WARM, float(shares[i, j])))
            axes.text(j, i, f"{n:,}", ha="center", va="center", fontsize=7, color=TEXT)
    names = [label if len(label) < MATRIX else f"{label[:MATRIX]}…" for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(range(len(labels)), names, fontsize=8, parse_math=False)
    save_figure(figure, path)


def rectangle(x: int, y: int, color: str, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, color=color, alpha=0.1 + 0.54 * share, linewidth=0)
