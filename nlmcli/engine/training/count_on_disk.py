"""Counting the n-grams of a text within a given amount of memory: the trie of nn/ngrams.py, bit for bit, in files.

For each order, the contexts are cut into chunks, each with as many positions as fit into memory.  One pass over the text
writes a record of every position to the file of its chunk; then each chunk is sorted, its n-grams are numbered, and what is
written next is in order: their words, their counts, and the numbers of the positions, by blocks of the text.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from nlmcli.models.ngram import NGram
from nlmcli.nn.mapped import release
from nlmcli.nn.ngram_blocks import add_counts, count_contexts, number_records, records_by_chunk, sorted_records, write_numbers

BLOCK = 1 << 20  # positions, or numbers, read at a time
SHARE = 0.6  # of the memory that the records of a chunk may take; the rest is for the program
RECORD = 64  # bytes of memory for each record while it is sorted
BUCKETS = 1 << 16  # of contexts, from which chunks are put together
MOST_FILES = 256  # that are written at the same time


class Files:
    """Arrays of int32 in a folder, which are written in order, part by part, and read in blocks."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.open_files: dict[str, IO[bytes]] = {}

    def append(self, name: str, values: np.ndarray) -> None:
        if name not in self.open_files:
            self.open_files[name] = open(self.folder / name, "ab")  # noqa: SIM115
        np.ascontiguousarray(values, np.int32).tofile(self.open_files[name])

    def close(self, name: str) -> None:
        if name in self.open_files:
            self.open_files.pop(name).close()

    def size(self, name: str) -> int:
        self.close(name)
        path = self.folder / name
        return path.stat().st_size // 4 if path.exists() else 0

    def read(self, name: str, start: int = 0, count: int = -1) -> np.ndarray:
        if not self.size(name):
            return np.empty(0, np.int32)
        return np.fromfile(self.folder / name, np.int32, count, offset=4 * start)

    def blocks(self, name: str) -> Iterator[np.ndarray]:
        size = self.size(name)
        for start in range(0, size, BLOCK):
            yield self.read(name, start, BLOCK)

    def remove(self, name: str) -> None:
        self.close(name)
        (self.folder / name).unlink(missing_ok=True)

    def rename(self, name: str, other: str) -> None:
        self.close(name)
        (self.folder / name).replace(self.folder / other)

    def map(self, name: str) -> np.ndarray:
        """The whole array, in the file."""
        size = self.size(name)
        return np.memmap(self.folder / name, np.int32, "c", shape=(size,)) if size else np.empty(0, np.int32)


@contextmanager
def work_folder(parent: Path) -> Iterator[Files]:
    """A folder for the files, which is removed at the end."""
    folder = parent / "counting"
    shutil.rmtree(folder, ignore_errors=True)  # left by a process that was killed
    folder.mkdir()
    files = Files(folder)
    try:
        yield files
    finally:
        for name in list(files.open_files):
            files.close(name)
        shutil.rmtree(folder, ignore_errors=True)


class Counter:
    """Builds the files `word`, `count` and `first`, order by order.  sizes: the number of n-grams of each order so far

    Other files: `tokens` and `position` as in the trie, `number` of the n-gram that ends at each position; of the order at hand
    `times`, how often each n-gram occurs, `extensions` of each context, and `shorter`, an n-gram of the order before for every
    different word, or beginning of a text, that precedes it.
    """

    def __init__(self, files: Files, model: NGram, memory: int):
        """memory: bytes that the program may take in all, about"""
        self.files, self.newline, self.order, self.V = files, model.newline, model.config.context, model.V
        self.continuation = model.config.add_k is None
        self.capacity = max(1, int(SHARE * memory / RECORD))  # records of a chunk
        self.sizes: list[int] = []

    def count(self, texts: Sequence[np.ndarray]) -> None:
        self.write_tokens(texts)
        self.group = BLOCK * max(1, -(-self.files.size("tokens") // (BLOCK * MOST_FILES)))
        self.files.append("word", np.arange(self.V, dtype=np.int32))
        self.files.append("first", np.array([self.V], np.int32))
        self.sizes = [self.V]
        nodes = self.V
        for n in range(2, self.order + 1):
            nodes = self.extend(n, nodes)
        self.append_counts("times")
        for name in ("tokens", "position", "number"):
            self.files.remove(name)

    def write_tokens(self, texts: Sequence[np.ndarray]) -> None:
        """The files tokens, position and number: of all texts, each after an end of line; and `times`, the counts of all words."""
        times, f = np.zeros(self.V, np.int64), self.files
        for ids in texts:
            f.append("tokens", np.array([self.newline]))
            f.append("position", np.zeros(1))
            for start in range(0, len(ids), BLOCK):
                part = ids[start : start + BLOCK]
                f.append("tokens", part)
                f.append("position", np.minimum(np.arange(start + 1, start + 1 + len(part)), self.order))
                times += np.bincount(part, minlength=self.V)
                release(ids)
        for block in f.blocks("tokens"):
            f.append("number", block)
        f.append("times", times)

    def positions(self) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
        """Block by block: its start, the number before it, tokens, number, position."""
        start, before = 0, 0
        for tokens, number, position in zip(*(self.files.blocks(name) for name in ("tokens", "number", "position")), strict=True):
            yield start, before, tokens, number, position
            start, before = start + len(tokens), int(number[-1])

    def extend(self, n: int, nodes: int) -> int:
        """Add the n-grams of order n.  nodes: the n-grams so far  -> the n-grams then"""
        f, size = self.files, self.sizes[-1]
        ends = self.write_records(n, size)
        numbered = first = 0
        f.rename("times", "times before")
        for chunk, end in enumerate(ends):
            words = self.number_chunk(chunk, first, end, numbered)
            numbered, first = numbered + words, end
        self.append_firsts(nodes)
        self.append_counts("shorter" if self.continuation else "times before", size)
        f.remove("times before")
        self.renumber()
        self.sizes.append(numbered)
        return nodes + numbered

    def write_records(self, n: int, size: int) -> list[int]:
        """The file of each chunk's records; and `shorter`, the (n-1)-grams that texts begin with.  -> where the contexts of each end"""
        shift = max(0, (max(1, size - 1)).bit_length() - BUCKETS.bit_length() + 1)
        histogram = np.zeros(((size - 1) >> shift) + 1, np.int64)
        for _, before, _, number, position in self.positions():
            count_contexts(number, position, before, n, shift, histogram)
        chunk_of, ends = chunks_of(histogram, self.capacity)
        for start, before, tokens, number, position in self.positions():
            records, stops, beginnings = records_by_chunk(tokens, number, position, before, start, n, shift, chunk_of, len(ends))
            for chunk, part in enumerate(np.split(records, stops[:-1])):
                self.files.append(f"records {chunk}", part)
            self.files.append("shorter", beginnings)
        return [min(size, end << shift) for end in ends]

    def number_chunk(self, chunk: int, first: int, end: int, numbered: int) -> int:
        """Number the n-grams whose contexts are those from first to end.  -> how many there are"""
        f, name = self.files, f"records {chunk}"
        records = f.read(name).reshape(-1, 4)
        f.remove(name)
        order = sorted_records(records, first, end - first, self.V)
        word, times, shorter, extensions = number_records(records, order, first, end - first, numbered)
        for target, values in (("word", word), ("times", times), ("shorter", shorter), ("extensions", extensions)):
            f.append(target, values)
        stops = np.searchsorted(records[:, 2], np.arange(0, f.size("tokens"), self.group))
        for k, part in enumerate(np.split(records[:, 2:], stops[1:])):
            f.append(f"numbers {k}", part)
        return len(word)

    def append_firsts(self, nodes: int) -> None:
        """first: where the extensions of each context end."""
        for block in self.files.blocks("extensions"):
            ends = nodes + np.cumsum(block, dtype=np.int64)
            self.files.append("first", ends)
            nodes = int(ends[-1])
        self.files.remove("extensions")

    def append_counts(self, source: str, size: int = 0) -> None:
        """count: the numbers in `times`, or how often each of `size` numbers occurs in the file `shorter`."""
        f = self.files
        if source == "shorter":
            for start in range(0, size, self.capacity):
                counts = np.zeros(min(self.capacity, size - start), np.int32)
                for block in f.blocks("shorter"):
                    add_counts(block[(block >= start) & (block < start + len(counts))], start, counts)
                f.append("count", counts)
        else:
            for block in f.blocks(source):
                f.append("count", block)
        f.remove("shorter")

    def renumber(self) -> None:
        """number: of the n-gram that ends at each position, block by block."""
        f = self.files
        for k, start in enumerate(range(0, f.size("number"), self.group)):
            number = f.read("number", start, self.group)
            write_numbers(f.read(f"numbers {k}").reshape(-1, 2), start, number)
            f.append("number after", number)
            f.remove(f"numbers {k}")
        f.rename("number after", "number")


def chunks_of(histogram: np.ndarray, capacity: int) -> tuple[np.ndarray, list[int]]:
    """Cut buckets into chunks of at most `capacity` records, or of one bucket.  -> the chunk of each bucket, the ends of the chunks"""
    chunk_of, ends, filled = np.empty(len(histogram), np.int32), list[int](), 0
    for bucket, records in enumerate(histogram.tolist()):
        if filled and filled + records > capacity:
            ends.append(bucket)
            filled = 0
        filled += records
        chunk_of[bucket] = len(ends)
    return chunk_of, [*ends, len(histogram)]
