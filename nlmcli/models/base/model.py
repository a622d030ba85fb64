"""What every architecture is: feet (embeddings), a body (the encoder of its own file), and the head all of them share."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from nlmcli.errors import InputError
from nlmcli.nn.cross_entropy import BLOCK, head_gradient, head_score
from nlmcli.nn.matmul import matmul
from nlmcli.nn.params import Params, Shapes
from nlmcli.options import option

State = tuple[np.ndarray, ...]  # what is remembered of the text before; the batch is axis 1 of every array


class Model:
    """An architecture: pure functions of parameters, ids and state.

    A subclass says its equations, `Config`, `shapes`, `start`, `forward` and `backward`. Training cuts a text into
    segments and calls `forward` with the state of the segment before; evaluation does the same; generating is
    segments of one token. Sizes: T steps, B batch, D embedding, H hidden, V vocabulary.
    """

    Config: ClassVar[type]
    lr_scale: ClassVar[float] = 5.0  # the multiple of an optimizer's own learning rate that suits it, over 1,000 steps
    lr_power: ClassVar[float] = 0.35  # how fast the rate that suits it falls with the number of steps
    overfits: ClassVar[bool] = False  # a lower learning rate suits it where a text is read many times
    neural: ClassVar[bool] = True  # trained by its gradients; one that is not has `count` in place of `backward`

    def __init__(self, config: Any, vocabulary: int, newline: int):
        """vocabulary: V.  newline: the id of a line end, which stands before the first token of every text."""
        self.config, self.V, self.newline = config, vocabulary, newline

    @property
    def window(self) -> int | None:
        """How many tokens it reads before it begins afresh, if it does."""
        return None

    @property
    def has_fused_step(self) -> bool:
        """Whether `fused_step` is defined."""
        return False

    def shapes(self) -> Shapes:
        """name -> shape of every parameter, in θ order."""
        raise NotImplementedError

    def start(self, batch: int, dtype: Any = np.float32) -> State:
        """The state before the first token of a text."""
        raise NotImplementedError

    def forward(self, P: Params, x: np.ndarray, state: State, rng: Any = None) -> tuple[np.ndarray, State, Any]:
        """x (T,B) ids -> h (T,B,H), what is remembered after x, cache.  rng: a Philox that draws dropout; None in evaluation."""
        raise NotImplementedError

    def backward(self, dh: np.ndarray, cache: Any, G: Params) -> None:
        """dh (T,B,H) -> adds dL/dθ into every G.name of the encoder.  The state before is taken as given."""
        raise NotImplementedError

    def count(self, texts: list[np.ndarray]) -> Params:
        """What a model that is not neural knows when it has read these texts, the ids of each, each for itself."""
        raise NotImplementedError

    def step(
        self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, scale: float, G: Params, rng: Any = None
    ) -> tuple[float, State]:
        """Forward, head and backward: Σ nll of the targets and the state after x; adds dL/dθ of L = scale · Σ nll into G."""
        if self.has_fused_step and self.reuses_rows(x, rng) and x.size * self.V <= BLOCK:
            return self.fused_step(P, x, targets, state, scale, G)
        h, state, cache = self.forward(P, x, state, rng)
        total, dh = head_gradient(h.reshape(targets.size, -1), *self.head(P), targets, scale, *self.head(G))
        self.backward(dh.reshape(h.shape), cache, G)
        return total, state

    def fused_step(self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, scale: float, G: Params) -> tuple[float, State]:
        """The same in one kernel, to the bit or to rounding: the step of a small model is shorter than the calls of its parts.

        Called only if `has_fused_step`, without dropout, where `reuses_rows` holds and the logits fit into one block.
        """
        raise NotImplementedError

    def reuses_rows(self, x: np.ndarray, rng: Any) -> bool:
        """Whether what a word's embedding contributes is computed once for each word of the vocabulary: if x has more positions
        than there are words, and dropout does not make every position different."""
        return x.size > self.V and not (rng and self.config.dropout)

    def head(self, P: Params) -> tuple[np.ndarray, np.ndarray]:
        """U (H,V) and b2 (V,) of y = h U + b2; views, so that given G it is where their gradients go.

        U may be a transposed view, of the embeddings say; a b2 of shape (0,) is none.
        """
        return P.U, P.b2

    def matrices(self) -> list[str]:
        """The parameters that are matrices, or stacks of them, by their capital letters; no biases, no gains. Weight decay shrinks them."""
        return [name for name, shape in self.shapes().items() if len(shape) > 1 and name[0].isupper()]

    def words_read(self, x: np.ndarray, state: State) -> list[np.ndarray]:
        """The ids whose embeddings a step reads: x, and those that the state remembers."""
        return [x, *(memory for memory in state if memory.dtype.kind == "i")]

    def score(
        self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, excluded: int = -1
    ) -> tuple[np.ndarray, np.ndarray, State]:
        """nll (N,) and rank (N,) of the N targets that are not padding, step by step, and the state after x.  x, targets (T,B).

        excluded: a token that is left out of the ranks, since it is never chosen; -1 for none.
        """
        h, state, _ = self.forward(P, x, state)
        real = targets >= 0
        return *head_score(h[real], *self.head(P), targets[real], excluded), state

    def logits(self, P: Params, h: np.ndarray) -> np.ndarray:
        """z = h U + b2: the distribution after h is softmax(z).  h (N,H) -> (N,V)"""
        U, b2 = self.head(P)
        return matmul(h, U, bias=b2 if b2.size else None)  # the product that `score` computes, to the bit

    def restore(self, arrays: dict[str, np.ndarray]) -> Params:
        """Parameters from arrays by name.  Raises InputError, the words after "has", where they are not this model's."""
        for name, shape in self.shapes().items():
            if name not in arrays or arrays[name].shape != shape or arrays[name].dtype.kind != "f":
                raise InputError(f"no {name} of shape {shape}")
        return Params(self.shapes(), np.concatenate([arrays[name].reshape(-1) for name in self.shapes()]))

    def initialise(self, rng: np.random.Generator, dtype: Any = np.float32) -> Params:
        """Parameters from which training goes well: W ~ N(0, 1/fan_in), E ~ N(0, 0.1), biases 0.

        The output matrix is a tenth of that, so that the first predictions are nearly uniform: the first loss is ln V.
        """
        P = Params(self.shapes(), dtype=dtype)
        for name in self.matrices():
            fan_in = 10 if name == "E" else P[name].shape[-2]
            P[name][...] = rng.standard_normal(P[name].shape) / np.sqrt(fan_in)
        self.head(P)[0][...] *= 0.1
        return P


hidden = partial(option, help="Hidden units per layer.", metavar="H", least=1)
layers = partial(option, help="Number of layers.", metavar="L", least=1)
context = partial(option, help="Context length in tokens; of an n-gram model, its order n.", metavar="N", least=1)


@dataclass(frozen=True)
class Config:
    """The options that every neural architecture has. A field that an architecture adds is one more option of `nlm train`."""

    embed: int = option(64, "Embedding dimension.", "D", least=1)
    dropout: float = option(0.0, "Dropout probability.", "P", least=0, below=1)
