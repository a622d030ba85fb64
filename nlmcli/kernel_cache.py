"""A persistent cache of compiled kernels, with checksums.

Numba detects a change in the file that defines a kernel, but not in another file whose code was inlined into it, nor in
a kernel that is called by symbol name. So the folder name contains a hash of all sources: changed sources use another
folder. Every file starts with the hash of its contents: a truncated or corrupted file is ignored and rewritten. So is
one that calls a missing symbol, as after an interrupted compilation: linking it would abort the process.
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
DIGEST_SIZE = hashlib.sha256().digest_size
EXTERNAL_SYMBOLS: set[str] = set()  # LLVM symbols of kernels that are linked into their callers, not recompiled
ON_COMPILE: list[Callable[[], None]] = []  # called once, before the first kernel that is not in the cache is compiled


def source_hash() -> str:
    """One hash of the package's sources and the versions of Python, Numba and llvmlite."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def user_cache() -> Path:
    """The platform's cache folder for this user."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "nlm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "nlm"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen if os.path.isabs(chosen) else home / ".cache") / "nlm"  # one that is relative is not to be used


def writable_folder(name: str, chosen: str | None = None) -> str | None:
    """A writable folder `name` in the chosen folder or the user's cache, else in the temporary folder; None if none is writable."""
    for base in (user_cache, temporary_folder):
        try:
            folder = Path(chosen if chosen and base is user_cache else base()) / name
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return str(folder)
        except (OSError, RuntimeError):  # RuntimeError: no home directory
            continue
    return None


def temporary_folder() -> Path:
    """A private folder of this user.  Raises OSError if another user owns or can access it, since code in it is executed."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"nlm-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if hasattr(os, "getuid") and (status.st_uid != user or status.st_mode & 0o077 or not folder.is_dir()):
        raise OSError(f"{folder} is not private to this user")
    return folder


class ChecksummedFiles(IndexDataCacheFile):
    """Numba's cache files, each prefixed with its hash. A file that does not match counts as missing."""

    def _load_index(self):
        try:
            stamp, overloads = self.read(self._index_path)
        except (OSError, ValueError):
            return {}
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads):
        self.write(self._index_path, (self._source_stamp, overloads))

    def _load_data(self, name):
        try:
            return self.read(self._data_path(name))
        except ValueError as error:
            raise OSError(str(error)) from None

    def _save_data(self, name, data):
        self.write(self._data_path(name), data)

    def read(self, path):
        """The object in a file.  Raises ValueError for a corrupted file or a missing symbol."""
        with open(path, "rb") as file:
            digest, data = file.read(DIGEST_SIZE), file.read()
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"{path} is corrupted")
        for name in EXTERNAL_SYMBOLS:
            if name.encode() in data and llvm.address_of_symbol(name) is None:
                raise ValueError(f"{path} calls {name}, which is not defined")
        return pickle.loads(data)

    def write(self, path, value):
        data = self._dump(value)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(data).digest() + data)


class ChecksummedCache(FunctionCache):
    """Numba's cache of one function, in our folder and with checksums."""

    def __init__(self, function):
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, FOLDER
        try:
            super().__init__(function)
        finally:
            numba.config.CACHE_DIR = before
        files = self._cache_file
        files.__class__ = ChecksummedFiles

    def load_overload(self, sig, target_context):
        overload = super().load_overload(sig, target_context)
        if overload is None:
            call_before_compiling()
        return overload

    def save_overload(self, sig, data):
        with contextlib.suppress(OSError):  # what cannot be kept, for want of room, is compiled again
            super().save_overload(sig, data)


class NoCache(NullCache):
    """The cache of a function if no folder is writable."""

    def load_overload(self, sig, target_context):
        call_before_compiling()


def call_before_compiling() -> None:
    """Call and remove the callbacks in ON_COMPILE."""
    while ON_COMPILE:
        ON_COMPILE.pop()()


FOLDER = writable_folder(f"kernels-{source_hash()}", os.environ.get("NUMBA_CACHE_DIR"))


def keep(dispatcher) -> None:
    """Cache a kernel's machine code if there is a folder for it."""
    dispatcher._cache = NoCache() if FOLDER is None else ChecksummedCache(dispatcher.py_func)


def may_be_cached(dispatcher, signature) -> bool:
    """Whether machine code for this signature may be cached; true for an unreadable index."""
    if FOLDER is None or not os.path.exists(dispatcher._cache._cache_file._index_path):
        return False
    index = dispatcher._cache._cache_file._load_index()
    return not index or any(key[0] == signature for key in index)
