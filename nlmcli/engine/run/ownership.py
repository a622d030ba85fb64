"""A run's folder belongs to one process at a time: a lock on the folder itself, which the system takes back from a dead process."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from nlmcli.errors import InputError
from nlmcli.text.corpus import expanded

RUNS = Path("runs")
HELD: dict[Path, int] = {}  # the folders that this process owns, and the files that hold their locks


class InUse(InputError):
    """A folder that another process owns."""


def claim(folder: Path) -> None:
    """Own a folder, made if need be, until it is released or the process ends.

    Raises InputError where another process owns it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve()
        if path not in HELD:
            HELD[path] = locked(path)
    except BlockingIOError:
        raise InUse(f"{folder} is in use by another nlm train; wait until it ends, or give another --out") from None
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror})") from None


def release(folder: Path) -> None:
    """Own a folder no longer."""
    handle = HELD.pop(folder.resolve(), None)
    if handle is not None:
        os.close(handle)


@contextlib.contextmanager
def claimed(folder: Path | None, name: str) -> Iterator[Path]:
    """Own a folder, or where none is given the first NAME-N under ./runs that does not exist yet; it is owned until it is released.

    Where what is done with it at first fails, it is released, and removed if it had not been there.
    Raises InputError where another process owns it, it holds a run already, or it cannot be made.
    """
    folder = folder and expanded(folder)
    folder, made = (folder, missing(folder)) if folder else first_free(name)
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
    """The first NAME-N under ./runs that does not exist yet, now owned, and the folders that were made for it."""
    for n in itertools.count(1):
        folder = RUNS / f"{name}-{n}"
        if made := missing(folder):
            with contextlib.suppress(InUse):
                claim(folder)
                return folder, made
    raise AssertionError("counting came to an end")


def missing(folder: Path) -> list[Path]:
    """The folder and those above it that do not exist, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def locked(folder: Path) -> int:
    """A file descriptor that holds the lock of a folder.  Raises BlockingIOError where another has it."""
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
