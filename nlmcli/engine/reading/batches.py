"""From ids to batches. A batch is a pure function of the step's number, so a resumed run reads on where it stopped.

x (T,B): what the model reads;   y (T,B): the id that comes next, or PADDING where there is none
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.engine.reading.encoded import EncodedLines
from nlmcli.errors import InputError

PADDING = -1
RESTART = 0.02  # how often a track of a stream begins afresh
DRAWN = 256  # steps whose restarts are drawn at once


@dataclass(frozen=True)
class Batch:
    """x, y (T,B) int64.  fresh: the state before it is the start of a text, not the end of the batch before.

    restarts (B,): the columns of which that is so, if it is not so of all; None for none.
    """

    x: np.ndarray
    y: np.ndarray
    fresh: bool
    restarts: np.ndarray | None = None


class Stream:
    """The corpus as one long text, read by B readers at once: reader b has the b-th of B contiguous tracks.

    Every batch goes T steps on in all tracks, the state carried over; an epoch ends with the tracks. Now and then a track
    begins afresh, as evaluation and generation do: of a start that is seen once an epoch, a recurrent network learns
    nothing, and what it learned of states that it has grown into may be worth nothing there.
    """

    def __init__(self, ids: np.ndarray, newline: int, batch_size: int, seq_len: int, seed: int = 0):
        """ids (N,) of the text; it is read as if after a line end.  Raises InputError if it is too short for B tracks."""
        if len(ids) < batch_size:
            raise InputError(
                f"the corpus has {len(ids)} tokens to train on, too few for {batch_size} tracks of a stream; "
                f"lower --batch-size to {max(1, len(ids) // 2)} or less"
            )
        self.length = len(ids) // batch_size
        self.seq_len = min(seq_len, self.length)
        self.batch_size = batch_size
        used = batch_size * self.length
        self.y = ids[:used].reshape(batch_size, self.length)  # a view: the ids may be more than memory holds
        self.before = np.concatenate([[newline], self.y[:-1, -1]])  # what stands before each track
        self.steps_per_epoch = -(-self.length // self.seq_len)
        self.tokens = used
        self.seed, self.drawn, self.restarts = seed, -1, np.empty((0, 0), bool)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        k = step % self.steps_per_epoch
        start = k * self.seq_len
        tracks = self.y[:, start : start + self.seq_len]
        read = np.empty((tracks.shape[1] + 1, self.batch_size), np.int64)  # and the word before
        read[0] = self.y[:, start - 1] if k else self.before
        read[1:] = tracks.T
        return Batch(read[:-1], read[1:], fresh=k == 0, restarts=self.restarts_at(step) if k else None)

    def restarts_at(self, step: int) -> np.ndarray | None:
        """Which tracks begin afresh before this step."""
        draw, row = divmod(step, DRAWN)
        if draw != self.drawn:
            self.drawn, self.restarts = draw, np.random.default_rng([self.seed, draw]).random((DRAWN, self.batch_size)) < RESTART
        return self.restarts[row] if self.restarts[row].any() else None


class Lines:
    """Each line its own example: it begins with a fresh state, ends with its line end, and is read once an epoch.

    Lines that take the same number of segments of T steps are shuffled and batched together; a longer line's state is
    carried from segment to segment. Shorter lines are padded, and padding is never counted.
    """

    def __init__(self, lines: Sequence[np.ndarray], newline: int, batch_size: int, seq_len: int, seed: int):
        """lines: the ids of each line, its line end included."""
        self.lines, self.newline, self.batch_size, self.seq_len, self.seed = lines, newline, batch_size, seq_len, seed
        number = np.int32 if len(lines) < 1 << 31 else np.int64
        lengths: Any = lines.lengths if isinstance(lines, EncodedLines) else np.array([len(line) for line in lines], number)
        segments = -(-lengths // seq_len)
        self.groups = [(int(s), np.flatnonzero(segments == s).astype(number)) for s in np.unique(segments)]
        self.steps_per_epoch = sum(s * -(-len(members) // batch_size) for s, members in self.groups)
        self.tokens = int(lengths.sum(dtype=np.int64))
        self.epoch = -1
        self.plan: list[tuple[np.ndarray, int]] = []  # of that epoch

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, k = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.epoch, self.plan = epoch, self.shuffled(epoch)
        members, segment = self.plan[k]
        return Batch(*self.padded([self.lines[i] for i in members], segment), fresh=segment == 0)

    def shuffled(self, epoch: int) -> list[tuple[np.ndarray, int]]:
        """(members of the batch, which of its segments) for every step of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        batches = [
            (chunk, segments)
            for segments, members in self.groups
            for chunk in np.split(rng.permutation(members), range(self.batch_size, len(members), self.batch_size))
        ]
        order = rng.permutation(len(batches))
        return [(batches[i][0], s) for i in order for s in range(batches[i][1])]

    def padded(self, lines: list[np.ndarray], segment: int) -> tuple[np.ndarray, np.ndarray]:
        """The x and y of one segment of these lines, (T,B), T no longer than the longest needs."""
        start = segment * self.seq_len
        T = min(self.seq_len, max(map(len, lines)) - start)
        x = np.full((T, len(lines)), self.newline, np.int64)
        y = np.full((T, len(lines)), PADDING, np.int64)
        for b, line in enumerate(lines):
            part = line[start : start + T]
            y[: len(part), b] = part
            before = line[start - 1 : start + T - 1] if start else line[: T - 1]
            first = 0 if start else 1
            x[first : first + len(before), b] = before[: T - first]
        return x, y
