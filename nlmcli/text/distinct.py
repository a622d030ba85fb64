"""How many different byte strings there are, and which is the k-th smallest, in little memory however many they are."""

import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

BATCH = 1 << 15  # strings that are compared at once
MOST = 1 << 18  # strings in memory; more than that go to temporary files, by their first byte


class Distinct:
    """Byte strings of one size. Use it in a with statement, which removes the temporary files."""

    def __init__(self, size: int):
        self.dtype = np.dtype(f"S{size}")
        self.known = np.empty(0, self.dtype)  # sorted, each once
        self.added: list[np.ndarray] = []
        self.files: tempfile.TemporaryDirectory[str] | None = None
        self.sizes = np.zeros(256, np.int64)  # of the different strings in each file

    def __enter__(self) -> "Distinct":
        return self

    def __exit__(self, *_: object) -> None:
        if self.files is not None:
            self.files.cleanup()

    def add(self, strings: Iterable[bytes]) -> None:
        """Add strings."""
        strings = iter(strings)
        while batch := set(islice(strings, BATCH)):
            self.added.append(np.array(list(batch), self.dtype))
            if sum(map(len, self.added)) >= MOST:
                self.merge()
                if len(self.known) > MOST // 2:
                    self.spill()

    def merge(self) -> None:
        self.known, self.added = np.unique(np.concatenate([self.known, *self.added])), []

    def spill(self) -> None:
        """Append the known strings to the files."""
        if self.files is None:
            self.files = tempfile.TemporaryDirectory(prefix="nlm-")
        edges = np.searchsorted(first_bytes(self.known), np.arange(257))
        for k in np.flatnonzero(np.diff(edges)).tolist():
            with open(self.path(k), "ab") as file:
                file.write(self.known[edges[k] : edges[k + 1]].tobytes())
        self.known = self.known[:0]

    def path(self, k: int) -> Path:
        assert self.files is not None
        return Path(self.files.name) / str(k)

    def in_file(self, k: int) -> np.ndarray:
        """The different strings that begin with byte k, sorted."""
        return np.unique(np.fromfile(self.path(k), self.dtype)) if self.path(k).exists() else self.known[:0]

    def count(self) -> int:
        """How many different strings were added."""
        self.merge()
        if self.files is None:
            return len(self.known)
        self.spill()
        self.sizes[:] = [len(self.in_file(k)) for k in range(256)]
        return int(self.sizes.sum())

    def smallest(self, k: int) -> bytes:
        """The k-th smallest of the strings that were counted, from 0 on."""
        among = self.known
        if self.files is not None:
            ends = np.cumsum(self.sizes)
            at = int(np.searchsorted(ends, k, side="right"))
            among, k = self.in_file(at), k - int(ends[at] - self.sizes[at])
        return bytes(among[k]).ljust(self.dtype.itemsize, b"\0")  # NumPy drops zeros at the end


def first_bytes(strings: np.ndarray) -> np.ndarray:
    """The first byte of each.  (N,) uint8"""
    return strings.view(np.uint8).reshape(-1, strings.dtype.itemsize)[:, 0]
