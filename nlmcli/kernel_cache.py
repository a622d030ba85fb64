"""Where compiled kernels are kept between runs, and why what is found there can be trusted.

Numba notices a change of the file a kernel stands in, but not of another file whose code was compiled into it, nor of a
kernel that is called by name. So the folder's name has the hash of all sources: changed sources, another folder. And
every file begins with the hash of its contents: one that was cut off or changed is not used, and written anew. Nor is
one that calls by name what is not there, as after a compilation that was interrupted: to link it would end the process.
"""

import contextlib
import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import llvmlite
import numba
from llvmlite import binding as llvm
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

PACKAGE = Path(__file__).resolve().parent
DIGEST = hashlib.sha256().digest_size
CALLED_BY_NAME: set[str] = set()  # LLVM's names of kernels that others do not compile again
BEFORE_COMPILING: list[Callable[[], None]] = []  # called once, when a kernel that is not kept is about to be compiled


def source_hash() -> str:
    """One hash for all sources that kernels may be made of, and for the compiler."""
    text = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        text.update(path.read_bytes())
    return text.hexdigest()[:16]


def user_cache() -> Path:
    """The folder in which this system keeps a user's caches."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "nlm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "nlm"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen if os.path.isabs(chosen) else home / ".cache") / "nlm"  # one that is relative is not to be used


def writable_folder(name: str, chosen: str | None = None) -> str | None:
    """The folder of that name in the one chosen or the user's cache; where that cannot be written, one that lasts as long as /tmp."""
    for base in (user_cache, temporary_folder):
        try:
            folder = Path(chosen if chosen and base is user_cache else base()) / name
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return str(folder)
        except (OSError, RuntimeError):  # RuntimeError: no home
            continue
    return None


def temporary_folder() -> Path:
    """A folder that is this user's alone.  Raises OSError where somebody else made one of that name: its code would be run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"nlm-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o077 or not folder.is_dir()):
        raise OSError(f"{folder} is not this user's alone")
    return folder


class CheckedFiles(IndexDataCacheFile):
    """Numba's files, each with its hash in front. What does not match was never there."""

    def _load_index(self):
        try:
            stamp, overloads = self.checked(self._index_path)
        except (OSError, ValueError):
            return {}
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads):
        self.write(self._index_path, (self._source_stamp, overloads))

    def _load_data(self, name):
        try:
            return self.checked(self._data_path(name))
        except ValueError as error:
            raise OSError(str(error)) from None

    def _save_data(self, name, data):
        self.write(self._data_path(name), data)

    def checked(self, path):
        with open(path, "rb") as file:
            digest, data = file.read(DIGEST), file.read()
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"{path} is damaged")
        for name in CALLED_BY_NAME:
            if name.encode() in data and llvm.address_of_symbol(name) is None:
                raise ValueError(f"{path} calls {name}, which is not there")
        return pickle.loads(data)

    def write(self, path, value):
        data = self._dump(value)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(data).digest() + data)


class CheckedCache(FunctionCache):
    """Numba's cache of one function, in our folder and with checked files."""

    def __init__(self, function):
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, FOLDER
        try:
            super().__init__(function)
        finally:
            numba.config.CACHE_DIR = before
        files = self._cache_file
        files.__class__ = CheckedFiles

    def load_overload(self, sig, target_context):
        found = super().load_overload(sig, target_context)
        if found is None:
            announce()
        return found

    def save_overload(self, sig, data):
        with contextlib.suppress(OSError):  # what cannot be kept, for want of room, is compiled again
            super().save_overload(sig, data)


class NothingKept(NullCache):
    """The cache of a function where no folder can be written."""

    def load_overload(self, sig, target_context):
        announce()


def announce() -> None:
    while BEFORE_COMPILING:
        BEFORE_COMPILING.pop()()


FOLDER = writable_folder(f"kernels-{source_hash()}", os.environ.get("NUMBA_CACHE_DIR"))


def keep(dispatcher) -> None:
    """Have a kernel's machine code kept, where there is a folder for it."""
    dispatcher._cache = NothingKept() if FOLDER is None else CheckedCache(dispatcher.py_func)


def may_hold(dispatcher, signature) -> bool:
    """Whether machine code of this signature may have been kept; an index that cannot be read may have had it."""
    if FOLDER is None or not os.path.exists(dispatcher._cache._cache_file._index_path):
        return False
    kept = dispatcher._cache._cache_file._load_index()
    return not kept or any(key[0] == signature for key in kept)
