"""Dynamic evaluation: the model keeps learning while it reads, by one step of gradient descent per segment of the text.

    segment s is scored with θ_s;   then θ_{s+1} = θ_s - η g,  g = dL_s/dθ

L_s is the mean -ln P of the segment's tokens, and g is clipped as in training. Whatever recurs in a text, such as its names
and its topic, becomes more probable. No token is predicted from parameters or a state that have seen it: both depend on
earlier tokens only. The updates go to a copy of the parameters; the run is not changed.  Mikolov et al. 2010; Krause et al. 2018
"""

from dataclasses import replace

import numpy as np

from nlmcli.engine.gradient.team import Team
from nlmcli.engine.gradient.threads import quiet
from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.models.base import State
from nlmcli.nn.params import Params
from nlmcli.nn.precision import products_in
from nlmcli.optim.base.clip import clip_scale
from nlmcli.optim.sgd import SGD, Config
from nlmcli.options import Option, check_at_least

RATE, SEGMENT = 0.03, 20  # η; tokens. If a model reads by line, a segment ends with its line


class Dynamic:
    """A language model that learns from what it has scored, with the interface that evaluation needs: one segment of one text at a time."""

    kind = "dynamic"

    def __init__(self, lm: LanguageModel, lr: float = RATE, segment: int = SEGMENT, threads: int = 1):
        """Raises InputError for a model without gradients, or for a learning rate or segment length out of range."""
        if not lm.model.neural:
            neural = ", ".join(neural_names())
            raise InputError(f"model {lm.settings.model} is count-based and has no gradients to learn from; --dynamic works with: {neural}")
        Option(above=0).check("dynamic_lr", lr)
        check_at_least("dynamic_segment", segment, 1)
        self.trained, self.lr, self.segment = lm, lr, segment
        self.tokenizer, self.settings, self.about = lm.tokenizer, lm.settings, lm.about
        self.team, self.G, self.sgd = Team(lm.model, threads), lm.P.zeros_like(), SGD(Config(), lm.P.flat.size)
        self.reset()

    def report(self) -> dict[str, float]:
        """Its settings, by stable names."""
        return {"lr": self.lr, "segment": self.segment}

    def reset(self) -> None:
        """Restore the trained parameters."""
        self.steps, self.lm = 0, replace(self.trained, P=Params(self.trained.P.shapes, self.trained.P.flat.copy()))

    def start(self, batch: int) -> State:
        return self.lm.start(batch)

    def score(self, x: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """nll and rank of the targets, and the state after x; then learn from them.  x, targets (T,1)"""
        with quiet():
            nll, rank, after = self.lm.score(x, targets, state)
        if not np.isfinite(nll).all():
            raise InputError(
                f"--dynamic-lr {self.lr:g} is too large: after {self.steps:,} steps the loss is not finite; give a smaller one"
            )
        self.learn(Batch(x, targets, fresh=False), state)
        return nll, rank, after

    def learn(self, batch: Batch, state: State) -> None:
        """θ ← θ - η g, with |g| clipped as in training."""
        with products_in(self.settings.precision):
            _, norm, _ = self.team.gradient(self.lm.P, self.G, batch, [state])
        self.steps += 1
        scale = clip_scale(norm, self.settings.clip)
        self.sgd.step(self.lm.P.flat, self.G.flat, scale, self.lr, self.steps)
