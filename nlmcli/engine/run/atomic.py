"""Atomic writes: a temporary file in the same folder, fsync, then rename over the old file."""

import contextlib
import os
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

from nlmcli.errors import InputError


class Unwritable(InputError):
    """A file that cannot be written."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call write(file) on a temporary file in the same folder, fsync and rename; also remove leftovers of killed writers.

    Raises InputError if that fails; the old file is then unchanged, and the temporary file is removed.
    """
    if path.is_symlink():  # replace its target, not the link
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # a pipe or a device
        write_into(path, write)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        remove_leftovers(path)
        try:
            with open(temporary, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        kept = f"; the previous {path} is unchanged" if path.exists() else ""
        raise Unwritable(f"cannot write {path} ({why}); free some disk space, or give another folder{kept}") from None
    sync_folder(path.parent)


def write_into(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call write(file) on a pipe or a device.  Raises InputError if that fails."""
    try:
        whole = BytesIO()
        write(whole)
        with open(path, "wb", buffering=0) as file:
            file.write(whole.getvalue())
    except OSError as error:
        raise Unwritable(f"cannot write {path} ({(error.strerror or str(error)).lower()}); give a file") from None


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that a rename is on disk too. Ignored where the system cannot do it: the file is complete anyway."""
    if hasattr(os, "O_DIRECTORY"):  # not on Windows
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of dead processes from the folder of a file: those for names with the same suffix."""
    name = re.compile(rf"\..+{re.escape(path.suffix)}\.(\d+)\.tmp")
    for file in path.parent.iterdir():
        if (match := name.fullmatch(file.name)) and not is_running(int(match[1])):
            with contextlib.suppress(OSError):  # another writer removed it first; on Windows: it is open
                file.unlink()


def is_running(process: int) -> bool:
    """Whether a process with this id is running. Always False on Windows, where an open file cannot be removed anyway."""
    if os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True
