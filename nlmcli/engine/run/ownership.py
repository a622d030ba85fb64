"""A run's folder belongs to one process at a time: a lock on the folder, which the system releases when the process ends."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from nlmcli.errors import InputError
from nlmcli.text.corpus import expanded

RUNS = Path("runs")
HELD: dict[Path, int] = {}  # the folders locked by this process, with the file descriptors that hold the locks


class InUse(InputError):
    """A folder that is locked by another process."""


def claim(folder: Path) -> None:
    """Create a folder if necessary and lock it, until `release` or the end of the process.

    Raises InputError if another process holds the lock, or the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve()
        if path not in HELD:
            HELD[path] = locked(path)
    except BlockingIOError:
        raise InUse(f"{folder} is in use by another nlm train; wait until it ends, or give another --out") from None
    except OSError as error:
        raise InputError(f"cannot create the folder {folder} ({error.strerror})") from None


def release(folder: Path) -> None:
    """Unlock a folder."""
    handle = HELD.pop(folder.resolve(), None)
    if handle is not None:
        os.close(handle)


@contextlib.contextmanager
def claimed(folder: Path | None, name: str) -> Iterator[Path]:
    """Lock a folder, or if none is given the first unused NAME-N under ./runs; it stays locked until `release`.

    If the body raises, the folder is unlocked, and removed if it did not exist before.
    Raises InputError if another process holds the lock, or the folder cannot be created.
    """
    if folder is None:
        folder, made = first_free(name)
    else:
        folder = expanded(folder)
        made = missing(folder)
        claim(folder)
    try:
        yield folder
    except BaseException:
        release(folder)
        with contextlib.suppress(OSError):  # not empty
            for path in made:
                path.rmdir()
        raise


def first_free(name: str) -> tuple[Path, list[Path]]:
    """The first unused NAME-N under ./runs, now locked, and the folders created for it."""
    for n in itertools.count(1):
        folder = RUNS / f"{name}-{n}"
        if made := missing(folder):
            with contextlib.suppress(InUse):
                claim(folder)
                return folder, made
    raise AssertionError("counting came to an end")


def missing(folder: Path) -> list[Path]:
    """The folder and its parents that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def locked(folder: Path) -> int:
    """A file descriptor that holds the lock of a folder.  Raises BlockingIOError if another process holds it."""
    if os.name == "nt":
        import msvcrt

        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            os.close(handle)
            raise BlockingIOError from None
        return handle
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # a file system without locks
        pass
    return handle
