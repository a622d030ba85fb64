"""The base class of every architecture: embeddings, an encoder (in the architecture's own file), and a shared output head."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from nlmcli.nn.cross_entropy import BLOCK, head_draw, head_gradient, head_score, logits
from nlmcli.nn.params import Params, Shapes, matrices
from nlmcli.options import option

State = tuple[np.ndarray, ...]  # what a model carries over from the text so far; axis 1 of every array is the batch


class Model:
    """An architecture: pure functions of parameters, token ids and state.

    A subclass defines its equations, `Config`, `shapes`, `start`, `forward` and `backward`. Training cuts a text into
    segments and carries the state from each `forward` to the next; so does evaluation; generation uses segments of one
    token. Sizes: T time steps, B batch, D embedding, H hidden, V vocabulary.
    """

    Config: ClassVar[type]
    lr_scale: ClassVar[float] = 5.0  # the multiple of an optimizer's learning rate that suits it over 1,000 steps
    lr_power: ClassVar[float] = 0.35  # how fast the learning rate that suits it falls with the number of steps
    overfits: ClassVar[bool] = False  # whether a lower learning rate suits it when a text is read many times
    reads_order: ClassVar[bool] = True  # whether the order of the words of its context matters
    neural: ClassVar[bool] = True  # trained by gradient descent; other models have `count` in place of `backward`

    def __init__(self, config: Any, vocabulary: int, newline: int):
        """vocabulary: V.  newline: the id of an end of line, which precedes the first token of every text."""
        self.config, self.V, self.newline = config, vocabulary, newline

    @property
    def window(self) -> int | None:
        """The number of tokens after which it starts over with an empty context, or None."""
        return None

    @property
    def has_fused_step(self) -> bool:
        """Whether `fused_step` is defined."""
        return False

    @property
    def is_random(self) -> bool:
        """Whether its forward pass draws random numbers in training."""
        return self.config.dropout > 0

    def shapes(self) -> Shapes:
        """name -> shape of every parameter, in θ order."""
        raise NotImplementedError

    def start(self, batch: int, dtype: Any = np.float32) -> State:
        """The initial state, before the first token of a text."""
        raise NotImplementedError

    def forward(self, P: Params, x: np.ndarray, state: State, rng: Any = None) -> tuple[np.ndarray, State, Any]:
        """x (T,B) ids -> h (T,B,H), the state after x, cache.  rng: a Philox that draws the dropout masks; None in evaluation."""
        raise NotImplementedError

    def advance(self, P: Params, x: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """h (T,B,H) and the state after x, of `forward`; the state before x is given up, and its memory may be reused."""
        h, after, _ = self.forward(P, x, state)
        return h, after

    def backward(self, dh: np.ndarray, cache: Any, G: Params) -> None:
        """Add dL/dθ to every G.name of the encoder.  dh (T,B,H).  No gradient flows into the state before x."""
        raise NotImplementedError

    def count(self, texts: list[np.ndarray]) -> Params:
        """The parameters of a model that is not neural, counted from these texts, each given by its ids."""
        raise NotImplementedError

    def step(
        self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, scale: float, G: Params, rng: Any = None
    ) -> tuple[float, State]:
        """Forward, head and backward; add dL/dθ of L = scale · Σ nll to G.  -> Σ nll of the targets, the state after x"""
        if self.has_fused_step and self.uses_word_table(P, x, rng) and x.size * self.V <= BLOCK:
            return self.fused_step(P, x, targets, state, scale, G)
        h, state, cache = self.forward(P, x, state, rng)
        total, dh = head_gradient(h.reshape(targets.size, -1), *self.head(P), targets, scale, *self.head(G))
        self.backward(dh.reshape(h.shape), cache, G)
        return total, state

    def fused_step(self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, scale: float, G: Params) -> tuple[float, State]:
        """`step` in one kernel, equal to the bit or to rounding: calling its parts takes longer than the step of a small model.

        Called only if `has_fused_step`, without dropout, if `uses_word_table` holds and the logits fit into one block.
        """
        raise NotImplementedError

    def uses_word_table(self, P: Params, x: np.ndarray, rng: Any) -> bool:
        """Whether the contribution of an embedding is computed once for each row of E: if x has more positions than E has rows,
        and dropout does not make every position different."""
        return x.size > len(P.E) and not (rng and self.config.dropout)

    def head(self, P: Params) -> tuple[np.ndarray, np.ndarray]:
        """U (H,V) and b2 (V,) of y = h U + b2; views, so that the head of G is where their gradients go.

        U may be a transposed view, for example of the embeddings; a b2 of shape (0,) means no bias.
        """
        return P.U, P.b2

    def encoder_shapes(self) -> Shapes:
        """name -> shape of the parameters that `forward` reads, E first; without those that only the head reads."""
        probe = Params(self.shapes())
        head = [part for part in self.head(probe) if part.size]
        return {
            name: shape for name, shape in probe.shapes.items() if name == "E" or not any(np.may_share_memory(probe[name], u) for u in head)
        }

    def draw(self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, rng: Any, u: np.ndarray) -> np.ndarray:
        """Targets sampled from the model's own predictions with u (N,) in [0,1); padding stays.  targets (N,)"""
        h, _, _ = self.forward(P, x, state, rng)
        return head_draw(h.reshape(-1, h.shape[-1]), *self.head(P), targets, u)

    def matrices(self) -> list[str]:
        """The names of the parameters that weight decay shrinks."""
        return matrices(self.shapes())

    def table(self, P: Params) -> np.ndarray:
        """The parameters of which a step reads only some rows: the embeddings."""
        return P.E

    def embedded_ids(self, x: np.ndarray, state: State) -> list[np.ndarray]:
        """The rows of the table that a step reads: the ids x, and those in the state."""
        return [x, *(memory for memory in state if memory.dtype.kind == "i")]

    def score(
        self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, excluded: int = -1
    ) -> tuple[np.ndarray, np.ndarray, State]:
        """nll (N,) and rank (N,) of the N targets that are not padding, by time step, and the state after x.  x, targets (T,B).

        excluded: a token that is left out of the ranking, since it is never generated; -1 for none.
        """
        h, state, _ = self.forward(P, x, state)
        real = targets >= 0
        return *self.score_rows(P, h[real], targets[real], excluded), state

    def score_rows(self, P: Params, h: np.ndarray, targets: np.ndarray, excluded: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """nll (N,) and rank (N,) of a target after each h, which do not depend on each other.  h (N,H), targets (N,)"""
        U, b2 = self.head(P)
        return head_score(h, U, b2, targets, excluded)

    def logits(self, P: Params, h: np.ndarray) -> np.ndarray:
        """z = h U + b2; softmax(z) is the distribution of the next word.  h (N,H) -> (N,V)"""
        U, b2 = self.head(P)
        if U.strides[1] != U.itemsize:  # NumPy reads a transposed view row by row, where a kernel would pack it
            return h @ U + (b2 if b2.size else 0)
        z = np.empty((len(h), U.shape[1]), h.dtype)
        logits(h, U, b2, z)
        return z

    def restore(self, arrays: dict[str, np.ndarray]) -> Params:
        """Parameters from arrays by name.  Raises InputError, worded to follow "has", if they are not this model's."""
        return Params.restored(self.shapes(), arrays)

    def initialize(self, rng: np.random.Generator, dtype: Any = np.float32) -> Params:
        """Initial parameters: W ~ N(0, 1/fan_in), E ~ N(0, 0.1), biases 0.

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
tie = partial(option, help="Weight tying: one matrix serves as input and output embeddings.")
context = partial(option, help="Context length in tokens; for an n-gram model, its order n.", metavar="N", least=1)


@dataclass(frozen=True)
class Config:
    """The options of every neural architecture. Each field that an architecture adds is another option of `nlm train`."""

    embed: int = option(64, "Embedding dimension.", "D", least=1)
    dropout: float = option(0.0, "Dropout probability.", "P", least=0, below=1)
