"""A file is written whole or not at all: beside the old one, onto the disk, then renamed over it."""

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
    """write(file) into a temporary file in the same folder, fsync and rename; what killed writers left there is removed.

    Raises InputError where that fails; the old file is then as it was, and there is no temporary one.
    """
    if path.is_symlink():  # it stays, what it leads to is written
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # a pipe or a device: its reader waits for what is written into it
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
        kept = f"; what {path} held before is still there, whole" if path.exists() else ""
        raise Unwritable(f"cannot write {path} ({why}); make room, or give another folder{kept}") from None
    sync_folder(path.parent)


def write_into(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """write(file) into what is no file but can be written.  Raises InputError where that fails."""
    try:
        whole = BytesIO()
        write(whole)
        with open(path, "wb", buffering=0) as file:
            file.write(whole.getvalue())
    except OSError as error:
        raise Unwritable(f"cannot write {path} ({(error.strerror or str(error)).lower()}); give a file") from None


def sync_folder(folder: Path) -> None:
    """Have the new name on the disk too. Where a system cannot do that, the file is whole all the same."""
    if hasattr(os, "O_DIRECTORY"):  # Windows has no such thing
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that processes now dead left beside a file, for this name or another of its kind."""
    name = re.compile(rf"\..+{re.escape(path.suffix)}\.(\d+)\.tmp")
    for found in path.parent.iterdir():
        if (writer := name.fullmatch(found.name)) and not alive(int(writer[1])):
            with contextlib.suppress(OSError):  # another writer was faster; or Windows: it is open
                found.unlink()


def alive(process: int) -> bool:
    """Whether there is a process of this number. Windows is not asked: there, what somebody writes cannot be removed."""
    if os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True
