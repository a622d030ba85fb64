"""Bytes -> text: read a corpus part by part, with one-sentence error messages, and split off a held-out part."""

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
from itertools import chain
from pathlib import Path
from typing import IO, cast

from nlmcli.errors import InputError, near, suggest
from nlmcli.text.distinct import Distinct

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "corpora", _PACKAGE.parent / "corpora")  # installed; in a source checkout

PART = 1 << 20  # bytes decoded at once
PIPE_BUFFER = 1 << 26  # bytes of a pipe kept in memory; more than that goes to a temporary file
DIGEST_SIZE = 16  # bytes

# Encodings to suggest; any that Python can decode is accepted.
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
_BYTE_ORDER_MARKS = {  # UTF-32 first: its little-endian mark starts with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file ('-' is stdin), without a byte order mark and with LF line ends.

    Raises InputError if it cannot be read or is not text in this encoding.
    """
    return "".join(parts(Source(path), encoding))


def parts(source: Source, encoding: str = "utf-8") -> Iterator[str]:
    """The same text part by part.  Raises InputError at the first invalid byte, or at the end if there is only whitespace."""
    encoding = known_encoding(encoding)
    newlines, started, only_whitespace = io.IncrementalNewlineDecoder(None, translate=True), False, True
    with source.open() as file:
        for part in chain(_decoded(file, source.name, encoding), [""]):
            if part and not started:
                part, started = part.removeprefix("\ufeff"), True
            text = newlines.decode(part, final=not part)
            only_whitespace = only_whitespace and (not text or text.isspace())
            if text:
                yield text
    if only_whitespace:
        raise InputError(f"{source.name} contains only whitespace; give a file with text")


def normalized(text: str) -> str:
    """A string normalized like the contents of a file: no byte order mark, LF as end of line; lone surrogates become U+FFFD."""
    whole = text.removeprefix("\ufeff").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return io.IncrementalNewlineDecoder(None, translate=True).decode(whole, final=True)


def expanded(path: str | Path) -> Path:
    """The path with ~ expanded to the home folder, unless the path exists as it is."""
    path = Path(path)
    with contextlib.suppress(RuntimeError):  # no home
        return path if path.exists() else path.expanduser()
    return path


class Source:
    """The bytes of a file ('-' is stdin) that can be read repeatedly; those of a pipe are buffered."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.name = expanded(path), "stdin" if str(path) == "-" else f"'{path}'"
        self.buffer: IO[bytes] | None = None
        self.stamp: tuple[int, int] | None = None  # size and modification time when the file was first opened

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file at its beginning.  Raises InputError if it is missing, a folder, unreadable or has changed."""
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
            raise InputError(f"cannot read {self.name} ({why.lower()}); give a readable file") from None

    def opened(self) -> AbstractContextManager[IO[bytes]]:
        """The open file, or the buffer of a pipe, at its beginning."""
        if self.buffer is not None or self.name == "stdin":
            return nullcontext(self.rewind())
        file = self.path.open("rb")
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            with file:
                return nullcontext(self.fill(file))
        self.stamp = self.stamp or (status.st_size, status.st_mtime_ns)
        if self.stamp != (status.st_size, status.st_mtime_ns):
            file.close()
            raise InputError(f"{self.name} changed while it was being read; try again")
        return file

    def rewind(self) -> IO[bytes]:
        """The buffer at its beginning; the first call reads stdin."""
        if self.buffer is None:
            if sys.stdin is None:
                raise InputError("stdin is closed; give a file instead of '-'")
            return self.fill(sys.stdin.buffer)
        self.buffer.seek(0)
        return self.buffer

    def fill(self, pipe: IO[bytes]) -> IO[bytes]:
        """Read a pipe into the buffer.  -> the buffer at its beginning"""
        self.buffer = cast(IO[bytes], tempfile.SpooledTemporaryFile(PIPE_BUFFER))  # noqa: SIM115
        weakref.finalize(self, self.buffer.close)
        shutil.copyfileobj(pipe, self.buffer)
        return self.rewind()


def known_encoding(encoding: str) -> str:
    """The normalized name of an encoding.  Raises InputError if there is no such text encoding."""
    try:
        b"a".decode(encoding, "replace")  # rejects codecs that do not decode to text: rot13, hex
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise InputError(f"unknown encoding '{encoding}'{suggest(encoding, _ENCODINGS)}") from None


def _missing(path: Path) -> str:
    """The message for a missing file, with a similar name if there is one."""
    if not path.parent.is_dir():
        return f"no file '{path}': there is no folder '{path.parent}'; give the path of a text file"
    try:
        suggestion = near(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:  # a folder that can be entered but not listed
        suggestion = ""
    return f"no file '{path}'{suggestion or '; give the path of a text file'}"


def _check_start(data: bytes, name: str, encoding: str) -> None:
    """Raises InputError if a file that starts with these bytes is empty, not text, or in UTF-16 or UTF-32 unlike the encoding."""
    if not data:
        raise InputError(f"{name} is empty; give a file with text")
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise InputError(f"{name} looks like {kind}; give plain text")
    for mark, marked_encoding in _BYTE_ORDER_MARKS.items():
        if not _is_wide(encoding) and data.startswith(mark):
            raise InputError(f"{name} looks like {marked_encoding.upper()} (byte order mark); try --encoding {marked_encoding}")


def _is_wide(encoding: str) -> bool:
    """Whether the code units have more than one byte, so that NUL bytes are normal."""
    return encoding.startswith(("utf-16", "utf-32"))


def _with_byte_order(encoding: str, start: bytes) -> str:
    """The encoding with native byte order for UTF-16 and UTF-32 without a byte order mark, as bytes.decode assumes."""
    marks = [mark for mark, marked_encoding in _BYTE_ORDER_MARKS.items() if marked_encoding == encoding]
    if encoding in ("utf-16", "utf-32") and not any(map(start.startswith, marks)):
        return f"{encoding}-{sys.byteorder[0]}e"
    return encoding


def _decoded(file: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """bytes -> text part by part.  Raises InputError with the offset of the first invalid byte."""
    size = -1 if encoding == "punycode" else PART  # its incremental decoder cannot decode in parts
    start, read = file.read(size), 0
    _check_start(start, name, encoding)
    decoder = codecs.getincrementaldecoder(_with_byte_order(encoding, start))()
    for data in chain([start], iter(partial(file.read, size), b""), [b""]):
        if not _is_wide(encoding) and (at := data.find(b"\0")) >= 0:
            raise InputError(f"{name} looks binary, with a NUL at byte {read + at}; give plain text")
        read += len(data)
        try:
            yield decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            invalid = error.object[error.start :] + file.read(2)
            position = f" at byte {read - len(error.object) + error.start} (0x{invalid[0]:02X})"
            is_surrogate = encoding == "utf-8" and re.match(b"\xed[\xa0-\xbf][\x80-\xbf]", invalid)
            raise InputError(_undecodable(name, encoding, position, bool(is_surrogate))) from None
        except UnicodeError:  # some codecs do not report the position
            raise InputError(_undecodable(name, encoding, "", False)) from None


def _undecodable(name: str, encoding: str, position: str, is_surrogate: bool) -> str:
    """The message for bytes that are invalid in this encoding.  is_surrogate: they encode a lone surrogate."""
    remedy = "give the encoding it was written in, for example --encoding latin-1"
    if is_surrogate or _is_wide(encoding):
        remedy = "fix the file"
    return f"{name} is not valid {encoding.upper()}{position}{', a lone surrogate' if is_surrogate else ''}; {remedy}"


def shipped(name: str = "students") -> Path:
    """The path of a corpus that ships with nlm.  Raises InputError for an unknown one."""
    corpora = {path.stem: path for folder in reversed(_FOLDERS) for path in sorted(folder.glob("*.txt"))}
    if name not in corpora:
        raise InputError(f"no corpus '{name}' ships with nlm{suggest(name, corpora)}")
    return corpora[name]


def shipped_file(name: str) -> Path:
    """The path of a file in the folder of the corpora that ship with nlm.  Raises InputError if it is missing."""
    for folder in _FOLDERS:
        if (folder / name).exists():
            return folder / name
    raise InputError(f"the file {name} that ships with nlm is missing; install nlm again")


def _exact(fraction: float) -> Fraction:
    """The fraction as a decimal: 0.1 is exactly one tenth, not the nearest binary number.

    Raises InputError unless 0 <= fraction < 1.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"a fraction of {fraction} cannot be held out; give 0 or more and less than 1")
    return Fraction(str(fraction))


def kept(characters: int, fraction: float) -> int:
    """floor((1 - fraction) n): the number of training characters of a stream.  Raises InputError unless 0 <= fraction < 1."""
    return int((1 - _exact(fraction)) * characters)


def split(text: str, fraction: float) -> tuple[str, str]:
    """The training text and the held-out text; the latter starts at character floor((1 - fraction) n)."""
    at = kept(len(text), fraction)
    return text[:at], text[at:]


def split_lines(text: str, fraction: float) -> tuple[list[str], list[str]]:
    """The training lines and the held-out lines, each in the order of the text; blank lines are dropped.

    A line is held out by its hash, so all its copies are in the same part, independent of the order of the text:
    of n distinct lines, the round(fraction n) with the smallest BLAKE2b digests.
    """
    lines = text.split("\n")
    last = held_out(lines, fraction)[0]
    return of_side(lines, last, False), of_side(lines, last, True)


def of_side(lines: Iterable[str], last: bytes, held: bool) -> list[str]:
    """The training lines, or the held-out ones, whose digests are at most `last`; blank lines are dropped."""
    return [line for line in lines if line.strip() and (digest(line) <= last) == held]


def held_out(lines: Iterable[str], fraction: float) -> tuple[bytes, int, int]:
    """The largest digest of a held-out line; the numbers of distinct training lines and of distinct held-out lines."""
    exact = _exact(fraction)
    with Distinct(DIGEST_SIZE) as digests:
        digests.add(map(digest, filter(str.strip, lines)))
        count = digests.count()
        held = round(exact * count)
        return digests.smallest(held - 1) if held else b"", count - held, held


def digest(line: str) -> bytes:
    return blake2b(line.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()
