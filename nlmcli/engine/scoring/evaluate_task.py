"""The evaluation of a task model on a labelled file, or on the held-out part of its own."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from nlmcli.engine.reading.labelled_dataset import Part, open_files, parts
from nlmcli.engine.reading.texts import check_available
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.scoring.judge import Judgement, judge
from nlmcli.engine.scoring.predict import Answering, check_texts
from nlmcli.errors import InputError


@dataclass(frozen=True)
class TaskEvaluation:
    """name: of the file.  unseen: labels that training did not have, with the line of the first and their number in the file."""

    name: str
    model: TaskModel
    judgement: Judgement
    unseen: dict[str, tuple[int, int]]
    cut: int

    @cached_property
    def floor(self) -> float:
        """The accuracy of always giving the commonest label of the training part."""
        accuracy = self.judgement.accuracy
        return accuracy.floor(self.model.labels.names[0]) if accuracy else math.nan

    def report(self) -> dict[str, Any]:
        """All figures, by stable names."""
        out: dict[str, Any] = {"text": self.name, "task": self.model.settings.task}
        if c := self.judgement.correlation:
            figures = {"pearson": c.pearson, "spearman": c.spearman, "mse": c.mse, "mae": c.mae}
            return out | {"texts": c.count} | figures | {"floor_mse": c.floor_mse, "floor_mae": c.floor_mae}
        a = self.judgement.accuracy
        assert a is not None
        what = "words" if self.model.settings.task == "tag" else "texts"
        out |= {what: a.count, "correct": a.correct, "accuracy": a.accuracy, "interval": a.interval, "floor": self.floor}
        out |= {
            "macro_f1": a.macro_f1,
            "weighted_f1": a.weighted_f1,
            "nats": self.judgement.loss,
            "labels": [vars(x) for x in a.by_label()],
        }
        if len(self.model.labels.names) == 2:
            out["positive"] = vars(a.of(self.positive))
        if self.judgement.unseen:
            n, right = self.judgement.unseen
            out["unseen_words"] = {"words": n, "correct": right, "accuracy": right / n if n else math.nan}
        if spans := self.judgement.spans:
            out["spans"] = {"overall": vars(spans.overall()), "types": [vars(each) for each in spans.scores()]}
        out["mistakes"] = [{"is": i, "said": s, "count": n} for i, s, n in a.mistakes(20)]
        return out

    @property
    def positive(self) -> str:
        """Of two labels, the one that precision, recall and F1 are about."""
        return self.model.labels.positive(getattr(self.model.settings.task_config(), "positive", None))


def evaluate_task(model: TaskModel, paths: tuple[str, ...] = ()) -> TaskEvaluation:
    """Score labelled files, or by default the held-out part of the training file.  Raises InputError if there is none."""
    s = model.settings
    if not paths:
        check_available(s, "nlm eval FILE")
    part = Part(open_files(paths, s)) if paths else parts(s)[1]
    if not part.files:
        raise InputError("nothing was held out in training; give a labelled file: nlm eval FILE")
    check_texts(model, part.files[0])
    if s.task == "regress":
        part.numbers()
    examples = Answering(model).encode(part)
    known = None
    if s.task == "tag":
        words = set(model.rare) | set(model.tokenizer.vocabulary)
        known = np.array([word in words for example in part for word in example.texts], bool)
    unseen = Counter(chain.from_iterable(example.answers for example in part)) if examples.unseen else {}
    name = " ".join(file.name for file in part.files) + ("" if paths or part.held_out is None else ", held-out part")
    return TaskEvaluation(
        name, model, judge(model, examples, known), {u: (line, unseen[u]) for u, line in examples.unseen.items()}, examples.cut
    )
