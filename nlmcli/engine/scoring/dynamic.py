"""Dynamic evaluation: the model keeps learning while it reads, by one step of gradient descent per segment of the text.

    segment s is scored with θ_s;   then  sgd: θ_{s+1} = θ_s - η g,               g = dL_s/dθ
                                          rms: θ_{s+1} = θ_s - η g / (r + mean r),  r² the mean of g² in training

L_s is the mean -ln P of the segment's tokens; sgd clips g as in training. Whatever recurs in a text, such as its names
and its topic, becomes more probable. No token is predicted from parameters or a state that have seen it: both depend on
earlier tokens only. The updates go to a copy of the parameters; the run is not changed.  Mikolov et al. 2010; Krause et al. 2018
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from nlmcli.engine.gradient.team import Team
from nlmcli.engine.gradient.threads import quiet
from nlmcli.engine.reading.batches import Batch, Lines, Stream
from nlmcli.engine.reading.encoded import encode
from nlmcli.engine.reading.texts import Text
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.errors import InputError
from nlmcli.models import neural_names
from nlmcli.models.base import State
from nlmcli.nn.kernel import kernel
from nlmcli.nn.params import Params
from nlmcli.nn.precision import products_in
from nlmcli.optim.base.clip import clip_scale
from nlmcli.optim.sgd import SGD, Config
from nlmcli.options import Option, check_at_least

RATES = {"sgd": 0.03, "rms": 0.001}  # η of each rule
SEGMENT = 20  # tokens. If a model reads by line, a segment ends with its line
CHARACTERS, BATCHES = 1 << 20, 100  # of the beginning of the training text, from which r is estimated


class Dynamic:
    """A language model that learns from what it has scored, with the interface that evaluation needs: one segment of one text at a time."""

    def __init__(self, lm: LanguageModel, lr: float | None = None, segment: int = SEGMENT, threads: int = 1, train: Text | None = None):
        """train: the training text, for the rule rms; None: sgd.

        Raises InputError for a model without gradients, or for a learning rate or segment length out of range.
        """
        self.rule = "sgd" if train is None else "rms"
        lr = RATES[self.rule] if lr is None else lr
        if not lm.model.neural:
            neural = ", ".join(neural_names())
            raise InputError(f"model {lm.settings.model} is count-based and has no gradients to learn from; --dynamic works with: {neural}")
        Option(above=0).check("dynamic_lr", lr)
        check_at_least("dynamic_segment", segment, 1)
        self.trained, self.lr, self.segment = lm, lr, segment
        self.tokenizer, self.settings, self.about = lm.tokenizer, lm.settings, lm.about
        self.team, self.G, self.sgd = Team(lm.model, threads), lm.P.zeros_like(), SGD(Config(), lm.P.flat.size)
        self.scale = None if train is None else self.gradient_scale(train)
        self.reset()

    def gradient_scale(self, train: Text) -> np.ndarray:
        """1 / (r + mean r), r (size,) the root mean square of the gradient of a segment.

        Its mean square is that of a batch of training, times the number of segments in a batch: gradients of single tokens
        vary so much that those of n tokens are some √n times as small.
        """
        lm, s = self.trained, self.settings
        ids = encode(lm.tokenizer, train.cut(0, min(CHARACTERS, train.characters)), s.by)
        first, squares, states = lm.tokenizer.start, np.zeros_like(lm.P.flat), list[State]()
        batches: Stream | Lines = (
            Stream(ids.ids, first, s.batch_size, s.seq_len, s.seed)
            if s.by == "stream"
            else Lines(ids.lines(), first, s.batch_size, s.seq_len, s.seed)
        )
        with products_in(s.precision):
            for k in range(BATCHES):
                batch = batches.batch(k)
                states = self.team.start(batch.x.shape[1], lm.P.flat.dtype) if batch.fresh else states
                states = self.team.gradient(lm.P, self.G, batch, states)[2]
                self.team.workers.over(squares.size, partial(add_part_squares, squares, self.G.flat, batch.targets))
        np.sqrt(squares / (BATCHES * self.segment), out=squares)
        with np.errstate(divide="ignore"):
            return 1 / (squares + squares.mean(dtype=np.float64).astype(squares.dtype))

    def report(self) -> dict[str, Any]:
        """Its settings, by stable names."""
        return {"rule": self.rule, "lr": self.lr, "segment": self.segment, "steps": self.steps}

    def reset(self) -> None:
        """Restore the trained parameters."""
        self.steps, self.lm = 0, replace(self.trained, P=Params(self.trained.P.shapes, self.trained.P.flat.copy()))

    def start(self, batch: int) -> State:
        return self.lm.start(batch)

    def score(self, x: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """nll and rank of the targets, and the state after x; then learn from them.  x, targets (T,1)"""
        with quiet():
            nll, rank, after = self.lm.score(x, targets, state)
        self.check_finite(nll)
        self.learn(Batch(x, targets, fresh=False), state)
        return nll, rank, after

    def check_finite(self, nll: np.ndarray) -> None:
        """Raises InputError if the learning rate was so large that the loss is not finite."""
        if not np.isfinite(nll).all():
            raise InputError(
                f"--dynamic-lr {self.lr:g} is too large: after {self.steps:,} steps the loss is not finite; give a smaller one"
            )

    def learn(self, batch: Batch, state: State) -> None:
        """Update the parameters by the gradient of a segment."""
        with products_in(self.settings.precision):
            _, norm, _ = self.team.gradient(self.lm.P, self.G, batch, [state])
        self.steps += 1
        clip = clip_scale(norm, self.settings.clip)
        self.team.workers.over(self.G.flat.size, lambda part: self.update(part, clip))

    def update(self, part: slice, clip: float) -> None:
        """Update a part of the parameters."""
        P, g = self.lm.P.flat, self.G.flat
        if self.scale is None:
            self.sgd.step(P, g, clip, self.lr, self.steps, part)
        else:
            update(P[part], g[part], self.scale[part], P.dtype.type(self.lr))


def add_part_squares(squares: np.ndarray, g: np.ndarray, n: int, part: slice) -> None:
    add_squares(squares[part], g[part], squares.dtype.type(n))


@kernel
def update(theta, g, scale, rate):
    """θ -= η scale g."""
    for i in range(theta.size):
        theta[i] -= rate * (scale[i] * g[i])


@kernel
def add_squares(squares, g, n):
    """squares += n g²."""
    for i in range(squares.size):
        squares[i] += n * (g[i] * g[i])
