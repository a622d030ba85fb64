"""Token ids to batches. A batch is a pure function of the step number, so a resumed run continues where it stopped.

x (T,B): input ids;   y (T,B): target ids, each the id after x, or PADDING
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlmcli.engine.reading.encoded import EncodedLines
from nlmcli.engine.reading.shuffle import STORED, permutation, shuffled
from nlmcli.errors import InputError
from nlmcli.nn.mapped import chunks

PADDING = -1
RESTART_RATE = 0.02  # probability that a column of a stream restarts from the initial state before a step
STEPS_PER_DRAW = 256  # steps whose restarts are drawn at once
LINES = 256  # in a block of which only the numbers of lines of each group are known


@dataclass(frozen=True)
class Batch:
    """x, y (T,B) int64.  fresh: all columns start from the initial state, not from the state after the batch before.

    restarts (B,): a mask of the columns that do so if not all of them do; None for none.
    """

    x: np.ndarray
    y: np.ndarray
    fresh: bool
    restarts: np.ndarray | None = None

    @property
    def targets(self) -> int:
        """The number of targets that are not padding."""
        return self.y.size if self.y.dtype.kind == "f" else int(np.count_nonzero(self.y >= 0))

    @property
    def tokens(self) -> int:
        """The number of tokens that are read, without padding: each has a target."""
        return self.targets


class LabelledBatch(Batch):
    """Texts with answers: x is PADDING after the ends of texts, and y holds the answers, (1,B), floats if numbers, or (T,B)."""

    @property
    def tokens(self) -> int:
        """The number of tokens that are read, without padding."""
        return int(np.count_nonzero(self.x >= 0))


class Stream:
    """The corpus as one long text, cut into B contiguous parts of equal length: column b of every batch reads part b.

    Each batch holds the next T tokens of every part, and the state carries over; an epoch ends with the parts. Columns
    occasionally restart from the initial state, as evaluation and generation do: a recurrent network that sees it only once
    an epoch does not learn to predict from it, and what it learns in later states may not transfer.
    """

    def __init__(
        self,
        ids: np.ndarray,
        newline: int,
        batch_size: int,
        seq_len: int,
        seed: int = 0,
        check: Callable[[int, int], None] = lambda start, stop: None,
    ):
        """ids (N,) of the text, which is read as if an end of line preceded it.  check: called with a range of ids before it is read

        Raises InputError if N < B.
        """
        if len(ids) < batch_size:
            raise InputError(
                f"the corpus has {len(ids)} training tokens, too few for a batch size of {batch_size}; "
                f"lower --batch-size to {max(1, len(ids) // 2)} or less"
            )
        self.length = len(ids) // batch_size
        self.seq_len = min(seq_len, self.length)
        self.batch_size = batch_size
        used = batch_size * self.length
        self.y = ids[:used].reshape(batch_size, self.length)  # a view: the ids may not fit in memory
        self.check = check
        for b in range(batch_size - 1):
            check((b + 1) * self.length - 1, (b + 1) * self.length)
        self.first_x = np.concatenate([[newline], self.y[:-1, -1]])  # the id before each part
        self.steps_per_epoch = -(-self.length // self.seq_len)
        self.tokens = used
        self.seed, self.draw, self.restarts = seed, -1, np.empty((0, 0), bool)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        k = step % self.steps_per_epoch
        start = k * self.seq_len
        targets = self.y[:, start : start + self.seq_len]
        for b in range(self.batch_size):
            self.check(b * self.length + max(0, start - 1), b * self.length + start + targets.shape[1])
        ids = np.empty((targets.shape[1] + 1, self.batch_size), np.int64)  # the targets, preceded by one more id
        ids[0] = self.y[:, start - 1] if k else self.first_x
        ids[1:] = targets.T
        return Batch(ids[:-1], ids[1:], fresh=k == 0, restarts=self.restarts_at(step) if k else None)

    def restarts_at(self, step: int) -> np.ndarray | None:
        """A mask (B,) of the columns that restart before this step; None for none."""
        draw, row = divmod(step, STEPS_PER_DRAW)
        if draw != self.draw:
            uniform = np.random.default_rng([self.seed, draw]).random((STEPS_PER_DRAW, self.batch_size))
            self.draw, self.restarts = draw, uniform < RESTART_RATE
        return self.restarts[row] if self.restarts[row].any() else None


class Lines:
    """Each line is a separate example: it starts from the initial state, ends with its end of line, and is read once an epoch.

    Lines that span the same number of segments of T steps are shuffled and batched together; the state of a longer line
    carries over from segment to segment. Shorter lines are padded; padding is never counted.
    """

    def __init__(self, lines: Sequence[np.ndarray], newline: int, batch_size: int, seq_len: int, seed: int):
        """lines: the ids of each line, including its end of line."""
        self.lines, self.newline, self.batch_size, self.seq_len, self.seed = lines, newline, batch_size, seq_len, seed
        lengths: Any = lines.lengths if isinstance(lines, EncodedLines) else np.array([len(line) for line in lines], np.int32)
        self.groups = grouped(lengths, seq_len)
        self.steps_per_epoch = sum(segments * -(-len(members) // batch_size) for segments, members in self.groups)
        self.tokens = sum(int(part.sum(dtype=np.int64)) for part in chunks(lengths))
        self.epoch = -1
        self.plan: Plan | None = None  # of that epoch

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, k = divmod(step, self.steps_per_epoch)
        if self.plan is None or epoch != self.epoch:
            self.epoch, self.plan = epoch, Plan(self.groups, self.batch_size, np.random.default_rng([self.seed, epoch]))
        members, segment = self.plan[k]
        return Batch(*self.pad([self.lines[i] for i in members], segment), fresh=segment == 0)

    def pad(self, lines: list[np.ndarray], segment: int) -> tuple[np.ndarray, np.ndarray]:
        """x and y (T,B) of one segment of these lines, padded to the longest of them."""
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


def grouped(lengths: np.ndarray, seq_len: int) -> list[tuple[int, Any]]:
    """(segments, indices of the lines that span so many), for each number of segments that occurs.  lengths (lines,)"""
    counts = np.zeros(0, np.int64)
    for part in chunks(lengths):
        more = np.bincount(-(-part // seq_len))
        counts = np.pad(counts, (0, max(0, len(more) - len(counts))))
        counts[: len(more)] += more
    if len(lengths) > STORED:
        return [(int(s), SameSegments(lengths, seq_len, int(s))) for s in np.flatnonzero(counts)]
    segments = -(-lengths // seq_len)
    return [(int(s), np.flatnonzero(segments == s).astype(np.int32)) for s in np.flatnonzero(counts)]


class SameSegments:
    """The indices of the lines, among very many, that span a number of segments, in order.

    Only their numbers in each block of lines are kept; where in its block a line is, is found out when it is asked for.
    """

    def __init__(self, lengths: np.ndarray, seq_len: int, segments: int):
        self.lengths, self.seq_len, self.segments = lengths, seq_len, segments
        counts = [np.add.reduceat(self.are_members(part), np.arange(0, len(part), LINES), dtype=np.int64) for part in chunks(lengths)]
        self.ends = np.cumsum(np.concatenate(counts))

    def __len__(self) -> int:
        return int(self.ends[-1])

    def are_members(self, lengths: np.ndarray) -> np.ndarray:
        return -(-lengths // self.seq_len) == self.segments

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        return np.array([self.line(int(place)) for place in places])

    def line(self, place: int) -> int:
        block = int(np.searchsorted(self.ends, place, side="right"))
        before = int(self.ends[block - 1]) if block else 0
        members = np.flatnonzero(self.are_members(self.lengths[block * LINES : (block + 1) * LINES]))
        return block * LINES + int(members[place - before])


class Plan:
    """(indices of the lines in the batch, segment) of every step of an epoch, shuffled."""

    def __init__(self, groups: list[tuple[int, Any]], batch_size: int, rng: np.random.Generator):
        self.groups, self.batch_size = groups, batch_size
        self.orders = [permutation(rng, len(members)) for _, members in groups]
        batches = [-(-len(members) // batch_size) for _, members in groups]
        self.first = np.cumsum([0, *batches])  # batch of each group
        self.order = shuffled(rng, int(self.first[-1]))
        if len(groups) > 1:
            segments = np.repeat(np.array([each for each, _ in groups], np.uint32), batches)
            steps = sum(each * n for (each, _), n in zip(groups, batches, strict=True))
            number = np.uint32 if steps < 1 << 32 else np.int64
            self.ends = np.cumsum(segments[self.order], dtype=number)  # the number of steps up to the end of each batch

    def __getitem__(self, step: int) -> tuple[np.ndarray, int]:
        at, segment = self.located(step)
        batch = int(self.order[at])
        group = int(np.searchsorted(self.first, batch, side="right")) - 1
        start = (batch - int(self.first[group])) * self.batch_size
        return self.groups[group][1][self.orders[group][start : start + self.batch_size]], segment

    def located(self, step: int) -> tuple[int, int]:
        """Where in the order the batch of a step is, and which of its segments it reads."""
        if len(self.groups) == 1:
            return divmod(step, self.groups[0][0])
        at = int(np.searchsorted(self.ends, step, side="right"))
        return at, step - (int(self.ends[at - 1]) if at else 0)
