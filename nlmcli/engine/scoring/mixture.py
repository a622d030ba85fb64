"""A mixture of language models, and of a neural cache: linear interpolation (Jelinek & Mercer 1980).

    p = Σ_k w_k p_k,   Σ_k w_k = 1

The first model may keep learning while it reads, and the cache remembers what the first model read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.engine.reading.batches import Batch
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.engine.run.neural_cache import THETAS, Cache, Memory
from nlmcli.engine.scoring.dynamic import Dynamic
from nlmcli.engine.scoring.segments import CHUNK, Segment
from nlmcli.errors import InputError
from nlmcli.nn.cross_entropy import blocks
from nlmcli.nn.elementary import exp, largest, total
from nlmcli.nn.kernel import kernel
from nlmcli.nn.precision import products_in
from nlmcli.nn.rank import rank_of

CONVERGED = 1e-9  # nats per token by which another step of EM would have to improve
SUM_ERROR = 1e-6  # that given weights may have
BISECTIONS = 40  # of the interval that contains the best weight of two


@dataclass(frozen=True)
class Reading:
    """What the members made of a segment.  h: of each; y (N,): the targets; after: their states; before, memory: of the cache"""

    h: list[np.ndarray]
    y: np.ndarray
    after: tuple[Any, ...]
    memory: Memory | None


class Mixture:
    """Language models, and a cache of the first, with the interface that evaluation needs. State: of each member, and the cache's memory.

    weights: of the models in their order, then of the cache.  names: of the models but the first.  fitted: whether the weights are.
    """

    def __init__(
        self,
        members: Sequence[LanguageModel | Dynamic],
        weights: Sequence[float],
        names: Sequence[str] = (),
        cache: Cache | None = None,
        fitted: bool = False,
    ):
        """Raises InputError if the models do not predict the same tokens, or for weights that are out of range."""
        self.members, self.weights, self.names, self.cache, self.fitted = list(members), list(weights), list(names), cache, fitted
        first = self.current[0]
        for other in self.current[1:]:
            check_compatible(first, other)
        if cache is not None:
            cache.check(first)
        check_weights(self.weights, len(self.members) + (cache is not None))
        self.tokenizer, self.settings, self.about = first.tokenizer, first.settings, first.about

    @property
    def current(self) -> list[LanguageModel]:
        """The models as they are now."""
        return [member.lm if isinstance(member, Dynamic) else member for member in self.members]

    @property
    def dynamic(self) -> Dynamic | None:
        """The first model, if it keeps learning."""
        return self.members[0] if isinstance(self.members[0], Dynamic) else None

    @property
    def segment(self) -> int:
        """Tokens that are scored at once."""
        return self.dynamic.segment if self.dynamic else self.cache.SEGMENT if self.cache else CHUNK

    @property
    def one_at_a_time(self) -> bool:
        """Whether it remembers what it has read, so that texts cannot be read together."""
        return self.dynamic is not None or self.cache is not None

    def reset(self) -> None:
        """Restore the trained parameters of a model that has learned."""
        if self.dynamic:
            self.dynamic.reset()

    def start(self, batch: int) -> tuple[Any, ...]:
        memory = None if self.cache is None else self.cache.empty(self.current[0])
        return *(lm.start(batch) for lm in self.current), memory

    def score(self, x: np.ndarray, targets: np.ndarray, state: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray, tuple[Any, ...]]:
        """nll and rank of the targets that are not padding, in order of time steps, and the states after x.  x, targets (T,B)"""
        reading = self.read(x, targets, state)
        N, K = len(reading.y), len(self.weights)
        log_p, rank = np.empty((K, N)), np.empty(N, np.int32)
        log_weights = np.repeat(logarithms(self.weights)[:, None], N, axis=1)
        if reading.memory is not None:  # while it is empty, its weight is the models'
            empty = reading.memory.filled() == 0
            log_weights[:, empty] = logarithms(without_cache(self.weights))[:, None]
        for rows in blocks(N, len(self.tokenizer)):
            p = self.mixed(reading, rows, np.exp(log_weights[:, rows]), log_p[:, rows])
            rank_rows(p, reading.y[rows], self.current[0].excluded, rank[rows])
        nll = -np.logaddexp.reduce(log_p + log_weights, axis=0)
        rank[np.isnan(nll)] = len(self.tokenizer)
        self.learn(x, targets, state, log_p[0])
        return nll, rank, reading.after

    def mixed(self, reading: Reading, rows: slice, weights: np.ndarray, log_p: np.ndarray) -> np.ndarray:
        """p (n,V) of the mixture at some rows; fills log_p (K,n), ln p of each target under each member.  weights (K,n)"""
        y, p = reading.y[rows], np.zeros((len(reading.y[rows]), len(self.tokenizer)), np.float32)
        for k, (lm, h) in enumerate(zip(self.current, reading.h, strict=True)):
            with products_in(lm.settings.precision):
                z = lm.model.logits(lm.P, h[rows])
            add_member(z, weights[k], y, p, log_p[k])
        if self.cache is not None and reading.memory is not None:
            self.cache.add(reading.memory, rows, weights[-1], y, p, log_p[-1])
        return p

    def read(self, x: np.ndarray, targets: np.ndarray, state: tuple[Any, ...]) -> Reading:
        """Read a segment with every member; the cache stores what it will look up."""
        h, after, real = [], [], targets >= 0
        *before, memory = state
        for lm, each in zip(self.current, before, strict=True):
            with products_in(lm.settings.precision):
                out, last, _ = lm.model.forward(lm.P, x, each)
            h.append(out[real])
            after.append(last)
        y = targets[real]
        if memory is not None:
            memory = memory.followed_by(h[0], y)
        return Reading(h, y, (*after, memory), memory)

    def learn(self, x: np.ndarray, targets: np.ndarray, state: tuple[Any, ...], log_p: np.ndarray) -> None:
        """If the first model keeps learning, let it learn from what was scored.  log_p: of the targets under the first model"""
        if self.dynamic:
            self.dynamic.check_finite(-log_p)
            self.dynamic.learn(Batch(x, targets, fresh=False), state[0])

    def report(self) -> dict[str, Any]:
        """The other runs and their weights, by stable names."""
        others = zip(self.names, self.weights[1:], strict=False)
        return {"weight": self.weights[0], "runs": [{"run": name, "weight": w} for name, w in others], "fitted": self.fitted}


def fitted(members: Sequence[LanguageModel | Dynamic], names: Sequence[str], size: int | None, segments: Iterable[Segment]) -> Mixture:
    """The mixture with the weights, and the θ of its cache, that are best on a text.  size: of the cache, or None

    Raises InputError if the models do not predict the same tokens.
    """
    K = len(members) + (size is not None)
    mixture = Mixture(members, [1 / K] * K, names, None if size is None else Cache(size, 0.0))
    log_p, found = member_scores(mixture, segments)
    candidates = [np.vstack([log_p, row]) for row in found] if size is not None else [log_p]
    losses = [best_weights(each) for each in candidates]
    best = int(np.argmin([loss for loss, _ in losses]))
    cache = None if size is None else Cache(size, THETAS[best])
    return Mixture(members, losses[best][1].tolist(), names, cache, fitted=True)


def member_scores(mixture: Mixture, segments: Iterable[Segment]) -> tuple[np.ndarray, np.ndarray]:
    """ln p of every token under each model (K,N), and in the cache with each of THETAS (J,N)."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    state: tuple[Any, ...] = ()
    mixture.reset()
    for segment in segments:
        state = mixture.start(segment.x.shape[1]) if segment.is_first else state
        reading = mixture.read(segment.x, segment.targets, state)
        log_p, found = np.empty((len(mixture.members), len(reading.y))), np.empty((0, len(reading.y)))
        for k, (lm, h) in enumerate(zip(mixture.current, reading.h, strict=True)):
            with products_in(lm.settings.precision):
                log_p[k] = -lm.model.score_rows(lm.P, h, reading.y)[0]
        if reading.memory is not None:
            found = reading.memory.log_probabilities(reading.y)
        mixture.learn(segment.x, segment.targets, state, log_p[0])
        parts.append((log_p, found))
        state = reading.after
    log_p, found = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    return log_p, found


def check_compatible(first: LanguageModel, second: LanguageModel) -> None:
    """Raises InputError unless the two models have the same tokens and read a text in the same way."""
    if first.tokenizer.rules() != second.tokenizer.rules():
        names = [f"{lm.tokenizer.name} of {len(lm.tokenizer):,} types" for lm in (first, second)]
        raise InputError(
            f"the two runs do not have the same tokenizer ({names[0]}; {names[1]}); train both on the same text with the same options"
        )
    if first.settings.by != second.settings.by:
        raise InputError(f"one run reads by {first.settings.by}, the other by {second.settings.by}; train both with the same --by")


def check_weights(weights: Sequence[float], members: int) -> None:
    """Raises InputError unless there is a weight for each member, and they are a distribution."""
    assert len(weights) == members
    for weight in weights[1:]:
        if not 0 <= weight <= 1:
            raise InputError(f"a weight of {weight:g} is out of range; give a number from 0 to 1")
    if weights[0] < -SUM_ERROR:
        raise InputError(f"the weights of --mix and --cache add up to {sum(weights[1:]):g}, more than 1; lower them")


def logarithms(weights: Sequence[float]) -> np.ndarray:
    """ln w, -∞ for w = 0."""
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(weights, 0))


def without_cache(weights: Sequence[float]) -> list[float]:
    """The weights if the last member is left out; the first one's is 1 if the others have none."""
    models, rest = weights[:-1], sum(weights[:-1])
    return [*(weight / rest for weight in models), 0.0] if rest > 0 else [1.0, *[0.0] * len(models)]


def best_weights(log_p: np.ndarray) -> tuple[float, np.ndarray]:
    """The lowest mean -ln Σ_k w_k p_k, and the weights w (K,) that reach it.  log_p (K,N): of the same tokens by each member

    By expectation maximization (Dempster, Laird & Rubin 1977): a weight becomes the mean share of its member in p. The loss is
    convex in w, and it never increases. Tokens that are impossible under every member do not count.
    """
    top = log_p.max(0)
    p = np.exp(log_p[:, np.isfinite(top)] - top[np.isfinite(top)])
    w = np.full(len(p), 1 / len(p))
    if not p.shape[1]:
        return 0.0, w
    if len(p) == 2:
        share = best_share(p)
        w = np.array([1 - share, share])
        return loss_of(p, w, top), w
    before, loss = np.inf, -np.log(w @ p).mean()
    while before - loss > CONVERGED:
        w = w * (p / (w @ p)).mean(1)
        before, loss = loss, -np.log(w @ p).mean()
    return loss_of(p, w, top), w


def loss_of(p: np.ndarray, w: np.ndarray, top: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(-(np.log(w @ p) + top[np.isfinite(top)]).mean())


def best_share(p: np.ndarray) -> float:
    """The weight w of the second of two members that maximizes Σ ln((1 - w) p_1 + w p_2).  p (2,N)

    The derivative Σ (p_2 - p_1) / ((1 - w) p_1 + w p_2) decreases with w: its root is found by bisection.
    """
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        w = (low + high) / 2
        slope = ((p[1] - p[0]) / ((1 - w) * p[0] + w * p[1])).sum()
        low, high = (w, high) if slope > 0 else (low, w)
    return (low + high) / 2


@kernel
def add_member(z, weights, targets, p, log_p):
    """p += w p_k;  log_p: ln p_k of each target.  z (N,V): the logits of a member, overwritten by exponentials; weights (N,), p (N,V)"""
    for k in range(targets.size):
        row, mixed, target = z[k], p[k], targets[k]
        top, at_target = largest(row), row[target]
        for w in range(row.size):
            row[w] = exp(row[w] - top)
        s = total(row)
        log_p[k] = at_target - top - np.log(s)
        scale = row.dtype.type(weights[k] / s)
        for w in range(row.size):
            mixed[w] += scale * row[w]


@kernel
def rank_rows(p, targets, excluded, rank):
    """The rank of each target, without the token `excluded`.  p (N,V)"""
    for k in range(targets.size):
        rank[k] = rank_of(p[k], targets[k], excluded)
