"""The base class of all tasks: an encoder, what a head reads from it, the loss of its answers, and the answers.

A task is trained as a language model is: `step` is its forward and backward pass on a shard of a batch.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nlmcli.heads.base.encoder import Encoder
from nlmcli.models.base import State
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.params import Params, Shapes, matrices
from nlmcli.options import option

BIDIRECTIONAL = "The encoder reads forward and backward, with the same embeddings."
SUBWORDS = "Add embeddings of the forms of words: their shape, lowercase, first and last letters; for word tokenizers."
BIGRAMS = "Add embeddings of pairs of neighboring tokens, for models that do not see the order of words."
COLUMNS = "Columns of the file: ANSWER,TEXT[,TEXT], by number, name or JSON key; for tag TAG,TOKEN."
DEFAULTS = {"model": "lstm", "dropout": 0.3, "seq_len": 512, "optimizer": "adamw"}  # of tasks on labelled texts


@dataclass(frozen=True)
class Config:
    """The options of every task on labelled texts."""

    bidirectional: bool = option(False, BIDIRECTIONAL)
    subwords: bool | None = option(False, SUBWORDS)
    bigrams: bool | None = option(False, BIGRAMS)
    columns: str | None = option(None, COLUMNS, "A,B", default_text="label,text; tag: last,1; CoNLL-U: 4,2")


class Task:
    """A task. A subclass that learns from labelled texts defines `head_shapes`, `loss`, `answers` and `draw`."""

    Config: ClassVar[type]
    labelled: ClassVar[bool] = True  # learns from labelled texts; else from running text
    lr_scale: ClassVar[float] = 1.0  # the multiple of a model's learning rate that suits it
    defaults: ClassVar[dict[str, Any]] = {}  # options by field name whose defaults differ for this task


class Head(Task):
    """An encoder and a head.  Sizes: T steps, B texts, F features of a step, L labels.

    x (T,B): ids, negative after the end of a text.  For a pair, the first half of the steps is its first text, the other half
    its second; both are encoded by the same encoder.
    """

    pairs: ClassVar[bool] = True  # may read pairs of texts
    lr_scale = 0.6
    V: ClassVar[int] = 0  # no output over the vocabulary
    cutoffs: ClassVar[tuple[int, ...]] = ()

    def __init__(self, config: Any, encoder: Encoder, labels: int = 1, paired: bool = False, p: float = 0.0, weights: Any = None):
        """labels: L.  paired: two texts an example.  p: dropout probability of what the head reads.

        weights (L,): what a target of each label weighs in the loss; None: 1.
        """
        self.config, self.encoder, self.L, self.paired, self.p = config, encoder, labels, paired, p
        self.weights = np.ones(labels) if weights is None else weights
        self.F = encoder.features

    def head_shapes(self) -> Shapes:
        """name -> shape of the head's own parameters."""
        raise NotImplementedError

    def loss(
        self, P: Params, h: np.ndarray, lengths: np.ndarray, y: np.ndarray, scale: float, G: Params, rng: Any
    ) -> tuple[float, np.ndarray]:
        """Add the gradients of the head to G for L = scale · Σ loss.  h (T,B,F), y as in the batch, flat -> Σ loss, dh (T,B,F)"""
        raise NotImplementedError

    def answers(self, P: Params, h: np.ndarray, lengths: np.ndarray, read: np.ndarray) -> np.ndarray:
        """What the head answers.  read (T,B): the steps of a text that have an answer, for tag."""
        raise NotImplementedError

    @property
    def shard_columns(self) -> int:
        """The columns of a batch that a thread computes by itself."""
        return self.encoder.model.shard_columns

    @property
    def is_random(self) -> bool:
        """Whether its forward pass draws random numbers in training: dropout masks, and which words are unknown."""
        return self.p > 0 or self.encoder.forms is not None

    def example_answers(self, rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
        """Answers to x drawn at random, as a batch holds them."""
        return rng.integers(0, self.L, (1, x.shape[1]))

    def shapes(self) -> Shapes:
        """name -> shape of every parameter, in θ order: the encoder's, then the head's."""
        encoder, head = self.encoder.shapes(), self.head_shapes()
        if taken := encoder.keys() & head.keys():
            raise LookupError(f"encoder and head both have a parameter {taken.pop()}")
        return encoder | head

    def encoder_shapes(self) -> Shapes:
        """name -> shape of the encoder's parameters."""
        return self.encoder.shapes()

    def initialize(self, rng: np.random.Generator, dtype: Any = np.float32) -> Params:
        """Initial parameters. The head's output is a tenth of W ~ N(0, 1/fan_in), so that the first answers are nearly uniform."""
        P = Params(self.shapes(), dtype=dtype)
        self.encoder.initialize(P, rng)
        for name, shape in self.head_shapes().items():
            if len(shape) > 1:
                P[name][...] = rng.standard_normal(shape) * ((0.1 if name == "W" else 1.0) / np.sqrt(shape[0]))
        return P

    def restore(self, arrays: dict[str, np.ndarray]) -> Params:
        """Parameters from arrays by name.  Raises InputError, worded to follow "has", if they are not this task's."""
        return Params.restored(self.shapes(), arrays)

    def matrices(self) -> list[str]:
        """The names of the parameters that weight decay shrinks."""
        return matrices(self.shapes())

    def start(self, batch: int, dtype: Any = np.float32) -> State:
        """Nothing: every text is encoded from the initial state of the model."""
        return ()

    def table(self, P: Params) -> np.ndarray:
        """The embeddings, of words and below them of their forms."""
        return P.stacked("E", "S") if self.encoder.reads_features else P.E

    def embedded_ids(self, x: np.ndarray, state: State) -> list[np.ndarray]:
        """The rows of the table that a step may read."""
        return [self.encoder.rows_read(x)]

    def head(self, P: Params) -> tuple[np.ndarray, np.ndarray]:
        """No output matrix over the vocabulary."""
        return P.flat[:0], P.flat[:0]

    def step(
        self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, scale: float, G: Params, rng: Any = None
    ) -> tuple[float, State]:
        """Forward, head and backward; add dL/dθ of L = scale · Σ loss to G.  -> Σ loss of the targets, the state"""
        h, lengths, cache = self.encoder.forward(P, self.columns(x), rng)
        total, dh = self.loss(P, h, lengths, targets, scale, G, rng)
        self.encoder.backward(dh, cache, G)
        return total, state

    def predict(self, P: Params, x: np.ndarray, read: np.ndarray) -> np.ndarray:
        """The answers to x (T,B).  read (T,B): the steps of a text that have an answer, for tag."""
        h, lengths, _ = self.encoder.forward(P, self.columns(x))
        return self.answers(P, h, lengths, read)

    def columns(self, x: np.ndarray) -> np.ndarray:
        """The texts as columns: of B pairs the first texts, then the second ones.  x (2T,B) -> (T,2B)"""
        return np.concatenate(np.split(x, 2), axis=1) if self.paired else x

    def drop(self, x: np.ndarray, rng: Any) -> tuple[np.ndarray, Any]:
        """Dropout of what the head reads, and its mask."""
        return dropout(x, self.p, rng)

    def drop_backward(self, dx: np.ndarray, keep: Any) -> np.ndarray:
        return dropout_backward(dx, keep)[0]
