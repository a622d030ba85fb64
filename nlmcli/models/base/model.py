"""The base class of every architecture: embeddings, an encoder (in the architecture's own file), and a shared output head."""

from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import Any, ClassVar

import numpy as np

from nlmcli.errors import InputError
from nlmcli.models.base import clusters
from nlmcli.nn.adaptive_softmax import Tail, adaptive_draw, adaptive_gradient, adaptive_log_p, adaptive_score
from nlmcli.nn.cross_entropy import BLOCK, head_draw, head_gradient, head_score, logits
from nlmcli.nn.linear import matmul_backward
from nlmcli.nn.matmul import matmul
from nlmcli.nn.params import Params, Shapes, matrices
from nlmcli.options import ADVANCED, option

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
    shard_columns: ClassVar[int] = 16  # of a batch, that a thread computes by itself; with fewer its products are slower
    neural: ClassVar[bool] = True  # trained by gradient descent; other models have `count` in place of `backward`

    def __init__(self, config: Any, vocabulary: int, newline: int):
        """vocabulary: V.  newline: the id that precedes the first token of every text, an end of line or a token of its own.

        Raises InputError for cutoffs that do not fit the vocabulary.
        """
        self.config, self.V, self.newline = config, vocabulary, newline
        self.cutoffs = cutoffs_of(config, vocabulary) if self.neural else ()

    @property
    def window(self) -> int | None:
        """The number of tokens after which it starts over with an empty context, or None."""
        return None

    @property
    def has_fused_step(self) -> bool:
        """Whether `fused_step` is defined."""
        return False

    @property
    def has_output_bias(self) -> bool:
        """Whether its output layer has a bias b2."""
        return True

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
        is_plain = self.has_fused_step and not self.config.tie and not self.cutoffs
        if is_plain and self.uses_word_table(P, x, rng) and x.size * self.V <= BLOCK:
            return self.fused_step(P, x, targets, state, scale, G)
        h, state, cache = self.forward(P, x, state, rng)
        rows = h.reshape(targets.size, -1)
        if self.cutoffs:
            parts = self.head(P), self.tails(P), targets, self.cutoffs, scale, self.head(G), self.tails(G)
            total, dh = adaptive_gradient(rows, *parts)
        else:
            total, dh = head_gradient(rows, *self.head(P), targets, scale, *self.head(G))
        self.backward(dh.reshape(h.shape), cache, G)
        return total, state

    def fused_step(self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, scale: float, G: Params) -> tuple[float, State]:
        """`step` in one kernel, equal to the bit or to rounding: calling its parts takes longer than the step of a small model.

        Called only if `has_fused_step`, without dropout, tied embeddings and clusters, if `uses_word_table` holds and the logits fit
        into one block.
        """
        raise NotImplementedError

    def uses_word_table(self, P: Params, x: np.ndarray, rng: Any) -> bool:
        """Whether the contribution of an embedding is computed once for each row of E: if x has more positions than E has rows,
        and dropout does not make every position different."""
        return x.size > len(P.E) and not (rng and self.config.dropout)

    def embedding_shapes(self) -> Shapes:
        """E, which precedes all other parameters; if it is also the output matrix of an adaptive softmax, C, the rows of the clusters."""
        D, K = self.config.embed, len(self.cutoffs)
        return ({"C": (K, D)} if self.config.tie and K else {}) | {"E": (self.V, D)}

    def output_shapes(self, width: int) -> Shapes:
        """The parameters that predict a word from h (width,).

        Tied: the projection Wp of h to the width of E, unless they are equally wide. Untied: U, and of each cluster R and U.
        """
        D, K, V = self.config.embed, len(self.cutoffs), self.V
        bias: Shapes = {"b2": (V + K,)} if self.has_output_bias else {}
        if self.config.tie:
            return ({"Wp": (width, D)} if width != D else {}) | bias
        shapes: Shapes = {"U": (width, self.ends()[0] + K)}
        for i, (start, end) in enumerate(pairwise(self.ends()), 1):
            own = clusters.reduced(width, i)
            shapes |= {f"R{i}": (width, own), f"U{i}": (own, end - start)}
        return shapes | bias

    def ends(self) -> tuple[int, ...]:
        """The ends of the shortlist and of the clusters, the last of which is V."""
        return (*self.cutoffs, self.V)

    def head(self, P: Params) -> tuple[np.ndarray, np.ndarray]:
        """U (H,V) and b2 (V,) of y = h U + b2; views, so that the head of G is where their gradients go.

        U may be a transposed view, for example of the embeddings; a b2 of shape (0,) means no bias. Of an adaptive softmax
        with K clusters, the K logits of the clusters and those of the shortlist.
        """
        end = len(self.cutoffs) + self.ends()[0]
        return self.output_rows(P)[:end].T if self.config.tie else P.U, self.output_bias(P)[:end]

    def tails(self, P: Params) -> tuple[Tail, ...]:
        """What predicts the words of each cluster; views, as of the head. Empty unless the softmax is adaptive."""
        K, bias, tails = len(self.cutoffs), self.output_bias(P), []
        for i, (start, end) in enumerate(pairwise(self.ends()), 1):
            own = slice(K + start, K + end)
            R, U = (None, self.output_rows(P)[own].T) if self.config.tie else (P[f"R{i}"], P[f"U{i}"])
            tails.append(Tail(R, U, bias[own]))
        return tuple(tails)

    def output_rows(self, P: Params) -> np.ndarray:
        """Of tied embeddings, the rows of the clusters and of all words (K+V,D)."""
        return P.stacked("C", "E") if self.cutoffs else P.E

    def output_bias(self, P: Params) -> np.ndarray:
        """The biases of the clusters and of all words (K+V,), or (0,)."""
        return P.b2 if self.has_output_bias else P.flat[:0]

    def output_arrays(self, P: Params) -> list[np.ndarray]:
        """All arrays that head and tails are made of."""
        return [part for part in (*self.head(P), *chain(*self.tails(P))) if part is not None and part.size]

    def project(self, P: Params, h: np.ndarray) -> tuple[np.ndarray, Any]:
        """h Wp, if E is also the output matrix and h is not as wide.  h (T,B,H) -> (T,B,D), cache"""
        if not self.config.tie or h.shape[2] == self.config.embed:
            return h, None
        rows = h.reshape(-1, h.shape[2])
        return matmul(rows, P.Wp).reshape(*h.shape[:2], -1), (rows, P.Wp)

    def project_backward(self, dy: np.ndarray, cache: Any, G: Params) -> np.ndarray:
        """dy (T,B,D) -> dh (T,B,H); adds to dWp."""
        if cache is None:
            return dy
        rows, Wp = cache
        return matmul_backward(dy.reshape(len(rows), -1), rows, Wp, G.Wp).reshape(*dy.shape[:2], -1)

    def encoder_shapes(self) -> Shapes:
        """name -> shape of the parameters that `forward` reads, E first; without those that only the head reads."""
        probe = Params(self.shapes())
        output = self.output_arrays(probe)
        return {
            name: shape
            for name, shape in probe.shapes.items()
            if name == "E" or not any(np.may_share_memory(probe[name], u) for u in output)
        }

    def draw(self, P: Params, x: np.ndarray, targets: np.ndarray, state: State, rng: Any, u: np.ndarray) -> np.ndarray:
        """Targets sampled from the model's own predictions with u (N,) in [0,1); padding stays.  targets (N,)"""
        h, _, _ = self.forward(P, x, state, rng)
        rows = h.reshape(-1, h.shape[-1])
        if self.cutoffs:
            return adaptive_draw(rows, self.head(P), self.tails(P), targets, u)
        return head_draw(rows, *self.head(P), targets, u)

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
        if self.cutoffs:
            return adaptive_score(h, self.head(P), self.tails(P), targets, self.cutoffs, excluded)
        return head_score(h, *self.head(P), targets, excluded)

    def logits(self, P: Params, h: np.ndarray) -> np.ndarray:
        """z = h U + b2; softmax(z) is the distribution of the next word.  h (N,H) -> (N,V)

        Of an adaptive softmax, ln p.
        """
        if self.cutoffs:
            return adaptive_log_p(h, self.head(P), self.tails(P))
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
            fan_in = 10 if name in ("C", "E") else P[name].shape[-2]
            P[name][...] = rng.standard_normal(P[name].shape) / np.sqrt(fan_in)
        for U in (self.head(P)[0], *(tail.U for tail in self.tails(P))):
            U[...] *= 0.1
        return P


SOFTMAX = "Output layer: {names}; adaptive predicts rare words by way of clusters, which takes a fraction of the time."
CUTOFFS = "Of an adaptive softmax, the first word of each cluster, counted by frequency."


def cutoffs_of(config: Any, vocabulary: int) -> tuple[int, ...]:
    """The first word of each cluster of an adaptive softmax: as given, else those that suit Zipf's law. Empty without clusters."""
    if config.softmax == "full":
        if config.cutoffs:
            raise InputError(f"--cutoffs {config.cutoffs} is an option of --softmax adaptive; give it too, or leave both out")
        return ()
    return clusters.parsed(config.cutoffs, vocabulary) if config.cutoffs else clusters.best_cutoffs(clusters.zipf(vocabulary), config.embed)


hidden = partial(option, help="Hidden units per layer.", metavar="H", least=1)
layers = partial(option, help="Number of layers.", metavar="L", least=1)
tie = partial(option, help="Weight tying: one matrix serves as input and output embeddings.")
context = partial(option, help="Context length in tokens; for an n-gram model, its order n.", metavar="N", least=1)


@dataclass(frozen=True)
class Config:
    """The options of every neural architecture. Each field that an architecture adds is another option of `nlm train`."""

    embed: int = option(64, "Embedding dimension.", "D", least=1)
    dropout: float = option(0.0, "Dropout probability.", "P", least=0, below=1)
    tie: bool = tie(False)
    softmax: str = option("full", SOFTMAX, "NAME", panel=ADVANCED, choices=lambda: ("full", "adaptive"))
    cutoffs: str | None = option(None, CUTOFFS, "N,N", panel=ADVANCED, default_text="those that make a step fastest")
