"""Optuna's journal file, with a lock that a killed process cannot leave behind."""

import os
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend


class Lock:
    """An exclusive lock on the file, which the system releases when the process ends.

    Optuna's own locks are files, which stay when the process that made them is killed; all others then wait for half a
    minute.  A line that a killed process wrote half of is removed, since the next one would be joined to it.
    """

    def __init__(self, path: Path):
        self.path, self.handle = path, -1

    def acquire(self) -> bool:
        import fcntl

        self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        os.ftruncate(self.handle, whole_lines(self.handle))
        return True

    def release(self) -> None:
        os.close(self.handle)


def whole_lines(handle: int) -> int:
    """The length of a file without a last line that has no end."""
    size, block = os.fstat(handle).st_size, 1 << 16
    end = size
    while end > 0:
        start = max(0, end - block)
        os.lseek(handle, start, os.SEEK_SET)
        at = os.read(handle, end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def journal(path: Path) -> Any:
    """The storage in a journal file."""
    return JournalStorage(JournalFileBackend(str(path), None if os.name == "nt" else Lock(path)))
