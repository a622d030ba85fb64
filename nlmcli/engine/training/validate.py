"""The evaluation of the held-out part during training, whatever the task."""

import math
from dataclasses import dataclass
from typing import Any

from nlmcli.engine.gradient.ranks import Ranks
from nlmcli.engine.gradient.threads import ThreadPool
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.saved import Saved
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.scoring.judge import judge
from nlmcli.engine.training.runs import sample_text


@dataclass(frozen=True)
class Validation:
    """loss: nats per token or per answer.  bits: per character.  figure: name and value of the task's own figure."""

    loss: float
    bits: float | None = None
    figure: tuple[str, float] | None = None
    sample: str = ""


def validate(model: Saved, held_out: Any, pool: ThreadPool, ranks: Ranks | None = None) -> Validation:
    """Score the held-out part, with these threads.  ranks: the processes that do so together"""
    if isinstance(model, TaskModel):
        judgement = judge(model, held_out)
        loss = judgement.loss if held_out.has_known else model.guessing()  # a loss that is not finite would be a divergence
        return Validation(loss, figure=judgement.figure)
    assert isinstance(model, LanguageModel)
    score = evaluate.score_text(model, held_out, pool=pool, ranks=ranks)
    return Validation(score.nats / score.tokens, score.nats / math.log(2) / score.characters, sample=sample_text(model))
