"""A text in segments, which a model scores one after another, carrying its state along.

The state makes the encoder sequential, but not the head, whose rows are independent. So while one thread encodes a segment,
the others compute the head of the segment before; whoever is done first helps. No figure depends on the number of threads.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from nlmcli.engine.gradient.threads import ThreadPool
from nlmcli.engine.reading.batches import PADDING
from nlmcli.engine.run.language_model import LanguageModel
from nlmcli.models.base import State
from nlmcli.nn.precision import products_in

CHUNK = 2048  # tokens in a segment
TOGETHER = 64  # lines per batch
PADDED = 1 << 18  # tokens per batch of lines, padding included
PIECES = 8  # of the head of a segment, which threads share out


class Segment(NamedTuple):
    """x, targets (T,B).  is_first, is_last: of its texts, whose state is carried from segment to segment"""

    x: np.ndarray
    targets: np.ndarray
    is_first: bool
    is_last: bool


def stream_segments(parts: Iterable[np.ndarray], first: int) -> Iterator[Segment]:
    """One long text.  parts: ids (N,) each"""
    previous, is_first = first, True
    for y in parts:
        yield Segment(np.concatenate([[previous], y[:-1]])[:, None], y[:, None], is_first, True)
        previous, is_first = int(y[-1]), False


def line_segments(lines: list[np.ndarray], first: int, chunk: int = CHUNK) -> Iterator[Segment]:
    """A batch of lines, each read from the initial state and padded to the longest."""
    T, B = max(map(len, lines)), len(lines)
    y = np.full((T, B), PADDING)
    for b, line in enumerate(lines):
        y[: len(line), b] = line
    x = np.concatenate([np.full((1, B), first), np.maximum(y[:-1], 0)])
    steps = max(1, chunk // B)
    for t in range(0, T, steps):
        yield Segment(x[t : t + steps], y[t : t + steps], t == 0, t + steps >= T)


def line_batches(lengths: np.ndarray, batch_size: int) -> Iterator[slice]:
    """Batches of consecutive lines: at most batch_size of them, and at most PADDED tokens when padded, if more than one line."""
    start = longest = 0
    for block in range(0, len(lengths), CHUNK):
        for k, length in enumerate(lengths[block : block + CHUNK].tolist(), block):
            longest = max(longest, length)
            if k > start and (k - start == batch_size or longest * (k + 1 - start) > PADDED):
                yield slice(start, k)
                start, longest = k, length
    if start < len(lengths):
        yield slice(start, len(lengths))


def scored(lm: Any, segments: Iterable[Segment], pool: ThreadPool) -> Iterator[tuple[Segment, np.ndarray, np.ndarray]]:
    """Each segment, with nll and rank of its targets that are not padding, by time step.  lm: whatever has start and score"""
    if isinstance(lm, LanguageModel) and pool.n > 1:
        yield from Pipeline(lm, pool).scored(segments)
        return
    state: Any = None
    for segment in segments:
        state = lm.start(segment.x.shape[1]) if segment.is_first else state
        nll, rank, state = lm.score(segment.x, segment.targets, state)
        yield segment, nll, rank


class Pipeline:
    """The encoder of each segment, together with the head of the one before."""

    def __init__(self, lm: LanguageModel, pool: ThreadPool):
        self.lm, self.pool = lm, pool
        self.state: State = ()
        self.h = np.empty(0)

    def scored(self, segments: Iterable[Segment]) -> Iterator[tuple[Segment, np.ndarray, np.ndarray]]:
        before: Segment | None = None
        for segment in chain(segments, [None]):
            jobs = [partial(self.encode, segment)] if segment else []
            nll, rank = np.empty(0), np.empty(0)
            if before:
                real = before.targets >= 0
                h, targets = self.h[real], before.targets[real]
                nll, rank = np.empty(len(h), h.dtype if h.dtype.kind == "f" else float), np.empty(len(h), np.int32)
                edges = [len(h) * piece // PIECES for piece in range(PIECES + 1)]
                jobs += [partial(self.head, h[a:b], targets[a:b], nll[a:b], rank[a:b]) for a, b in pairwise(edges)]
            with products_in(self.lm.settings.precision):
                self.pool.run(jobs, as_free=True)
            if before:
                yield before, nll, rank
            before = segment

    def encode(self, segment: Segment) -> None:
        state = self.lm.start(segment.x.shape[1]) if segment.is_first else self.state
        self.h, self.state = self.lm.model.advance(self.lm.P, segment.x, state)

    def head(self, h: np.ndarray, targets: np.ndarray, nll: np.ndarray, rank: np.ndarray) -> None:
        nll[:], rank[:] = self.lm.model.score_rows(self.lm.P, h, targets, self.lm.excluded)
