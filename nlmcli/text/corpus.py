"""Bytes -> text: reads a corpus, says in one sentence why it cannot, and holds a part of it out."""

from __future__ import annotations

import codecs
import re
import sys
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path

from nlmcli.errors import InputError, near, suggest

_PACKAGE = Path(__file__).resolve().parent.parent
_SHELVES = (_PACKAGE / "corpora", _PACKAGE.parent / "corpora")  # installed; in a checkout

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
    encoding = known_encoding(encoding)
    name = "stdin" if str(path) == "-" else f"'{path}'"
    data = _stdin() if str(path) == "-" else _file(Path(path))
    if not data:
        raise InputError(f"{name} is empty; give a file with text")
    _refuse_binary(data, name, encoding)
    text = _decoded(data, name, encoding).removeprefix("\ufeff")
    if not text or text.isspace():
        raise InputError(f"{name} holds only white space; give a file with text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def known_encoding(encoding: str) -> str:
    """The encoding's normal name.  Raises InputError where there is none such for text."""
    try:
        b"a".decode(encoding, "replace")  # not all that Python decodes is text: rot13, hex
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise InputError(f"unknown encoding '{encoding}'{suggest(encoding, _ENCODINGS)}") from None


def _stdin() -> bytes:
    if sys.stdin is None:
        raise InputError("stdin is closed; give a file in place of '-'")
    return sys.stdin.buffer.read()


def _file(path: Path) -> bytes:
    """The bytes of a file.  Raises InputError where it is missing, a folder or unreadable."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(_missing(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if path.is_dir():
            raise InputError(f"'{path}' is a folder; give a text file in it") from None
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{path}' ({why.lower()}); give a file that you may read") from None


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
    """Raises InputError for bytes that are no text, or text of another width than the encoding's."""
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise InputError(f"{name} looks like {what}; give plain text")
    if encoding.startswith(("utf-16", "utf-32")):
        return
    for mark, width in _BYTE_ORDER.items():
        if data.startswith(mark):
            raise InputError(f"{name} looks like {width.upper()} (byte order mark); try --encoding {width}")
    if (at := data.find(b"\0")) >= 0:
        raise InputError(f"{name} looks binary, with a NUL at byte {at}; give plain text")


def _decoded(data: bytes, name: str, encoding: str) -> str:
    """bytes -> text.  Raises InputError with the offset of the first byte that does not fit."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        where = f" at byte {error.start} (0x{data[error.start]:02X})"
        half = encoding == "utf-8" and re.match(b"\xed[\xa0-\xbf][\x80-\xbf]", data[error.start : error.start + 3])
    except UnicodeError:  # some encodings do not say where
        where, half = "", None
    if half or encoding.startswith(("utf-16", "utf-32")):
        raise InputError(f"{name} is not valid {encoding.upper()}{where}{', half a surrogate pair' if half else ''}; mend the file")
    mend = "the encoding it was written in, for example --encoding latin-1"
    raise InputError(f"{name} is not valid {encoding.upper()}{where}; give {mend}")


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


def split(text: str, fraction: float) -> tuple[str, str]:
    """The text before and from character floor((1 - fraction) n) on: what trains, what is held out."""
    kept = int((1 - _exactly(fraction)) * len(text))
    return text[:kept], text[kept:]


def split_lines(text: str, fraction: float) -> tuple[list[str], list[str]]:
    """The lines that train and those held out, each in the order of the text; blank lines are dropped.

    A line is held out by its hash, so all its copies fall on the same side, whatever the order of the text:
    of n distinct lines, the round(fraction n) with the smallest BLAKE2b digest.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    distinct = sorted(set(lines), key=_digest)
    held = set(distinct[: round(_exactly(fraction) * len(distinct))])
    return [line for line in lines if line not in held], [line for line in lines if line in held]


def _digest(line: str) -> bytes:
    return blake2b(line.encode("utf-8", "surrogatepass"), digest_size=16).digest()
