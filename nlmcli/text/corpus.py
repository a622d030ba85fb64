"""Bytes -> text: reads a corpus part by part, says in one sentence why it cannot, and holds a part of it out."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import IO, cast

import numpy as np

from nlmcli.errors import InputError, near, suggest

_PACKAGE = Path(__file__).resolve().parent.parent
_SHELVES = (_PACKAGE / "corpora", _PACKAGE.parent / "corpora")  # installed; in a checkout

PART = 1 << 20  # bytes that are decoded at once
PIPE = 1 << 26  # bytes of a pipe that are kept in memory, and not in a file
DIGESTS = 1 << 20  # how many are sorted at once
DIGEST = 16  # bytes

# Those to suggest; whatever Python decodes is read.
_ENCODINGS = ("utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "gb18030", "big5", "shift_jis", "koi8-r")

_MAGIC = {
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive (as .npz, .docx and .epub files are)",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x93NUMPY": "a NumPy array",
    b"%PDF-": "a PDF document",
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x7fELF": "a program",
    b"SQLite format 3\x00": "an SQLite database",
}
_BYTE_ORDER = {  # UTF-32 first: its mark begins as that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file, '-' being stdin: no byte order mark, and every line ends in LF.

    Raises InputError for what cannot be read or is not text in this encoding.
    """
    return "".join(parts(Source(path), encoding))


def parts(source: Source, encoding: str = "utf-8") -> Iterator[str]:
    """The same text part by part.  Raises InputError when it comes to what is wrong, or to an end without any text."""
    encoding = known_encoding(encoding)
    newlines, begun, blank = io.IncrementalNewlineDecoder(None, translate=True), False, True
    with source.open() as file:
        for part in chain(_decoded(file, source.name, encoding), [""]):
            if part and not begun:
                part, begun = part.removeprefix("\ufeff"), True
            text = newlines.decode(part, final=not part)
            blank = blank and (not text or text.isspace())
            if text:
                yield text
    if blank:
        raise InputError(f"{source.name} holds only white space; give a file with text")


def normalized(text: str) -> str:
    """A string as a file with that text would be read: no byte order mark, every line ends in LF, half a character is U+FFFD."""
    whole = text.removeprefix("\ufeff").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return io.IncrementalNewlineDecoder(None, translate=True).decode(whole, final=True)


def expanded(path: str | Path) -> Path:
    """The path, ~ being the user's home, unless there is a file of that very name."""
    path = Path(path)
    with contextlib.suppress(RuntimeError):  # no home
        return path if path.exists() else path.expanduser()
    return path


class Source:
    """The bytes of a file, '-' being stdin, to be read as often as wanted; those of a pipe are kept for that."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.name = expanded(path), "stdin" if str(path) == "-" else f"'{path}'"
        self.kept: IO[bytes] | None = None
        self.first: tuple[int, int] | None = None  # size and time of the file when it was opened first

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The file at its beginning.  Raises InputError where it is missing, a folder, unreadable or no longer the same."""
        try:
            with self.opened() as file:
                yield file
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(_missing(self.path)) from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            if self.path.is_dir():
                raise InputError(f"{self.name} is a folder; give a text file in it") from None
            why = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot read {self.name} ({why.lower()}); give a file that you may read") from None

    def opened(self) -> AbstractContextManager[IO[bytes]]:
        if self.kept is not None or self.name == "stdin":
            return nullcontext(self.again())
        file = self.path.open("rb")
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            with file:
                return nullcontext(self.keep(file))
        self.first = self.first or (found.st_size, found.st_mtime_ns)
        if self.first != (found.st_size, found.st_mtime_ns):
            file.close()
            raise InputError(f"{self.name} changed while it was read; try again")
        return file

    def again(self) -> IO[bytes]:
        """What was kept; of stdin, which is read at the first call."""
        if self.kept is None:
            if sys.stdin is None:
                raise InputError("stdin is closed; give a file in place of '-'")
            return self.keep(sys.stdin.buffer)
        self.kept.seek(0)
        return self.kept

    def keep(self, pipe: IO[bytes]) -> IO[bytes]:
        self.kept = cast(IO[bytes], tempfile.SpooledTemporaryFile(PIPE))  # noqa: SIM115
        weakref.finalize(self, self.kept.close)
        shutil.copyfileobj(pipe, self.kept)
        return self.again()


def known_encoding(encoding: str) -> str:
    """The encoding's normal name.  Raises InputError where there is none such for text."""
    try:
        b"a".decode(encoding, "replace")  # not all that Python decodes is text: rot13, hex
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise InputError(f"unknown encoding '{encoding}'{suggest(encoding, _ENCODINGS)}") from None


def _missing(path: Path) -> str:
    """One sentence on a file that is not there, with a name near it that is."""
    if not path.parent.is_dir():
        return f"no file '{path}', for there is no folder '{path.parent}'; give the path of a text file"
    try:
        tail = near(path.name, [one.name for one in path.parent.iterdir()])
    except OSError:  # a folder that may be entered but not listed
        tail = ""
    return f"no file '{path}'{tail or '; give the path of a text file'}"


def _refuse_binary(data: bytes, name: str, encoding: str) -> None:
    """Raises InputError for a file that begins so if that is no text, or text of another width than the encoding's."""
    if not data:
        raise InputError(f"{name} is empty; give a file with text")
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise InputError(f"{name} looks like {what}; give plain text")
    for mark, width in _BYTE_ORDER.items():
        if not _wide(encoding) and data.startswith(mark):
            raise InputError(f"{name} looks like {width.upper()} (byte order mark); try --encoding {width}")


def _wide(encoding: str) -> bool:
    return encoding.startswith(("utf-16", "utf-32"))


def _ordered(encoding: str, first: bytes) -> str:
    """UTF-16 and UTF-32 without a byte order mark are in this machine's order, as where all is decoded at once."""
    if encoding in ("utf-16", "utf-32") and not any(first.startswith(mark) for mark, width in _BYTE_ORDER.items() if width == encoding):
        return f"{encoding}-{sys.byteorder[0]}e"
    return encoding


def _decoded(file: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """bytes -> text part by part.  Raises InputError with the offset of the first byte that does not fit."""
    size = -1 if encoding == "punycode" else PART  # its decoder does not know that there are parts
    first, read = file.read(size), 0
    _refuse_binary(first, name, encoding)
    decoder = codecs.getincrementaldecoder(_ordered(encoding, first))()
    for data in chain([first], iter(partial(file.read, size), b""), [b""]):
        if not _wide(encoding) and (at := data.find(b"\0")) >= 0:
            raise InputError(f"{name} looks binary, with a NUL at byte {read + at}; give plain text")
        read += len(data)
        try:
            yield decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            wrong = error.object[error.start :] + file.read(2)
            where = f" at byte {read - len(error.object) + error.start} (0x{wrong[0]:02X})"
            half = encoding == "utf-8" and re.match(b"\xed[\xa0-\xbf][\x80-\xbf]", wrong)
            raise InputError(_undecodable(name, encoding, where, bool(half))) from None
        except UnicodeError:  # some encodings do not say where
            raise InputError(_undecodable(name, encoding, "", False)) from None


def _undecodable(name: str, encoding: str, where: str, half: bool) -> str:
    """One sentence on bytes that are not of the encoding.  half: they are half a surrogate pair."""
    mend = "give the encoding it was written in, for example --encoding latin-1"
    if half or _wide(encoding):
        mend = "mend the file"
    return f"{name} is not valid {encoding.upper()}{where}{', half a surrogate pair' if half else ''}; {mend}"


def shipped(name: str = "students") -> Path:
    """The path of a corpus that comes with nlm.  Raises InputError for one that does not."""
    books = {book.stem: book for shelf in reversed(_SHELVES) for book in sorted(shelf.glob("*.txt"))}
    if name not in books:
        raise InputError(f"no corpus '{name}' comes with nlm{suggest(name, books)}")
    return books[name]


def _exactly(fraction: float) -> Fraction:
    """The fraction as it is written: 0.1 is one tenth, not the nearest binary number.

    Raises InputError unless 0 <= fraction < 1.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"a fraction of {fraction} cannot be held out; give 0 or more and less than 1")
    return Fraction(str(fraction))


def kept(characters: int, fraction: float) -> int:
    """floor((1 - fraction) n): how many of a stream's characters train.  Raises InputError unless 0 <= fraction < 1."""
    return int((1 - _exactly(fraction)) * characters)


def split(text: str, fraction: float) -> tuple[str, str]:
    """The text before and from character floor((1 - fraction) n) on: what trains, what is held out."""
    at = kept(len(text), fraction)
    return text[:at], text[at:]


def split_lines(text: str, fraction: float) -> tuple[list[str], list[str]]:
    """The lines that train and those held out, each in the order of the text; blank lines are dropped.

    A line is held out by its hash, so all its copies fall on the same side, whatever the order of the text:
    of n distinct lines, the round(fraction n) with the smallest BLAKE2b digest.
    """
    lines = text.split("\n")
    last = held_out(lines, fraction)[0]
    return of_side(lines, last, False), of_side(lines, last, True)


def of_side(lines: Iterable[str], last: bytes, held: bool) -> list[str]:
    """The lines that train, or those held out: these have a digest up to `last`. Blank ones are dropped."""
    return [line for line in lines if line.strip() and (digest(line) <= last) == held]


def held_out(lines: Iterable[str], fraction: float) -> tuple[bytes, int, int]:
    """The largest digest of a line that is held out; how many distinct lines train, how many are held out."""
    fraction_of = _exactly(fraction)
    digests = map(digest, filter(str.strip, lines))
    distinct = np.empty(0, f"S{DIGEST}")  # compared as the bytes they are, the zeros at their ends included
    while some := set(islice(digests, DIGESTS)):
        distinct = np.unique(np.concatenate([distinct, np.array(list(some), distinct.dtype)]))
    held = round(fraction_of * len(distinct))
    last = bytes(distinct[held - 1]).ljust(DIGEST, b"\0") if held else b""
    return last, len(distinct) - held, held


def digest(line: str) -> bytes:
    return blake2b(line.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()
