"""Arrays that lie in a file and are read from it when they are used."""

import mmap
from collections.abc import Iterator

import numpy as np

CHUNK = 1 << 22  # numbers


def release(*arrays: np.ndarray) -> None:
    """Release the memory of mapped arrays: they stay in their files, and in the system's cache. Others are left as they are."""
    for array in arrays:
        base: object = array
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


def chunks(array: np.ndarray, overlap: int = 0) -> Iterator[np.ndarray]:
    """The array in parts, each with the first numbers of the next one; of a mapped array only one part is in memory."""
    for start in range(0, len(array), CHUNK):
        yield array[start : start + CHUNK + overlap]
        release(array)
