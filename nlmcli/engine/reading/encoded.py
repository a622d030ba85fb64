"""A text as ids, in as few bytes as hold them: in memory, or, of a long text, in a mapped file of the user's cache.

The file's name is a hash of the text, the tokenizer and all sources of nlm; so what is found under it is what would be
made. It is a header (JSON, padded, its CRC-32 last), the ids, the length of each line, and it is written whole or not at all.
The header has the CRC-32 of the rest: kernels do not ask whether an id is one of the vocabulary.
"""

import contextlib
import hashlib
import json
import mmap
import os
import time
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from nlmcli import kernel_cache
from nlmcli.engine.reading.texts import Text
from nlmcli.engine.run.atomic import Unwritable, write_atomically
from nlmcli.text.tokenizer import AFTER_LINE_END, Tokenizer, cut

LARGE = 1 << 26  # characters from which on a text's ids are kept in a file
HEADER = 1 << 12  # bytes
STRIDE = 64  # lines
READ = 1 << 20  # bytes that are checked at once
COUNTED = ("characters", "bytes", "line_ends")
MONTH = 30 * 24 * 3600.0  # seconds after which a file that nobody used is removed


@dataclass(frozen=True)
class Encoded:
    """ids (N,) of a text, and how many each line has, its line end included; of a stream, lengths is empty.

    line_ends: those of the text; read by line, every line has one.
    """

    ids: np.ndarray
    lengths: np.ndarray
    characters: int
    bytes: int
    line_ends: int

    def __len__(self) -> int:
        return len(self.ids)

    def parts(self, size: int) -> Iterator[np.ndarray]:
        """The ids, so many at a time, as int64."""
        for start in range(0, len(self.ids), size):
            yield self.ids[start : start + size].astype(np.int64)
            self.forget()

    def lines(self) -> "EncodedLines":
        return EncodedLines(self.ids, self.lengths)

    def forget(self) -> None:
        """Give back the memory of a file's pages that were read: the system keeps them while it has room, not on our account."""
        if isinstance(self.ids.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.ids.base.madvise(mmap.MADV_DONTNEED)


class EncodedLines(Sequence[np.ndarray]):
    """The ids of each line, cut out of those of the text when they are asked for.

    lengths (lines,): ids of each.  Where every STRIDE-th line begins is known, so that a line costs hardly more than its length.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray):
        self.ids, self.lengths = ids, lengths
        sums = np.add.reduceat(lengths, np.arange(0, len(lengths), STRIDE), dtype=np.int64) if len(lengths) else np.empty(0, np.int64)
        self.starts = np.concatenate([[0], np.cumsum(sums)])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        k = range(len(self))[i]
        start = int(self.starts[k // STRIDE] + self.lengths[k - k % STRIDE : k].sum(dtype=np.int64))
        return self.ids[start : start + int(self.lengths[k])]


def encode(tokenizer: Tokenizer, text: Text, by: str) -> Encoded:
    """The text as ids, read by stream or by line; those of a long text are kept in a file, where there is room for one."""
    folder = kernel_cache.writable_folder("texts") if text.digest and text.characters >= LARGE else None
    if folder is None:
        return in_memory(tokenizer, text, by)
    path = Path(folder) / f"{name_of(tokenizer, text, by)}.ids"
    with contextlib.suppress(OSError, ValueError):  # there is none, or it is broken
        os.utime(path)
        return mapped(path)
    remove_old(path.parent)
    try:
        write_atomically(path, lambda file: write(file, tokenizer, text, by))
        return mapped(path)
    except Unwritable:  # what cannot be kept is not kept
        return in_memory(tokenizer, text, by)


def name_of(tokenizer: Tokenizer, text: Text, by: str) -> str:
    """One name for the text, the tokenizer, and what encodes the one with the other."""
    given = [text.digest, by, tokenizer.to_dict(), kernel_cache.source_hash()]
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()[:32]


def encoded_parts(tokenizer: Tokenizer, text: Text, by: str, counts: dict[str, int], lengths: array) -> Iterator[np.ndarray]:
    """The ids part by part, in the smallest dtype; counts characters, bytes and line ends, and adds the length of each line."""
    V = len(tokenizer)
    dtype = np.uint8 if V <= 1 << 8 else np.uint16 if V <= 1 << 16 else np.int32
    for part in tokenizer.parts(text) if by == "stream" else cut(text, AFTER_LINE_END):
        lines = [part] if by == "stream" else lines_of(part)
        ids = [np.empty(0, np.int32), *map(tokenizer.encode, lines)]
        for line in lines:
            counts["characters"] += len(line)
            counts["bytes"] += len(line.encode("utf-8", "surrogatepass"))
            counts["line_ends"] += line.count("\n")
        if by == "line":
            lengths.extend(map(len, ids[1:]))
        yield np.concatenate(ids).astype(dtype)


def lines_of(text: str) -> list[str]:
    """The lines of a text that are read, each with its end: blank ones are not, and the last has an end even if it lacks one."""
    return [line + "\n" for line in text.split("\n") if line.strip()]


def in_memory(tokenizer: Tokenizer, text: Text, by: str) -> Encoded:
    counts, lengths = dict.fromkeys(COUNTED, 0), array("i")
    ids = [np.empty(0, np.uint8), *encoded_parts(tokenizer, text, by, counts, lengths)]
    return Encoded(np.concatenate(ids), np.array(lengths), **counts)


def write(file: IO[Any], tokenizer: Tokenizer, text: Text, by: str) -> None:
    """Header, ids and lengths into an open file."""
    counts, lengths, size, dtype, crc = dict.fromkeys(COUNTED, 0), array("i"), 0, "|u1", 0
    file.seek(HEADER)
    for ids in encoded_parts(tokenizer, text, by, counts, lengths):
        size, dtype, crc = size + len(ids), ids.dtype.str, zlib.crc32(ids.data, crc)
        file.write(ids.data)
    file.write(lengths)
    about = {"ids": size, "dtype": dtype, "lines": len(lengths), "counts": counts, "crc": zlib.crc32(lengths, crc)}
    head = json.dumps(about).encode().ljust(HEADER - 4)
    file.seek(0)
    file.write(head + zlib.crc32(head).to_bytes(4, "little"))


def mapped(path: Path) -> Encoded:
    """What `write` wrote.  Raises OSError or ValueError where there is none, or it is cut off or damaged."""
    with open(path, "rb") as file:
        about = checked(file)
        dtype, number = np.dtype(about["dtype"]), np.dtype("i")
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    size = about["ids"] * dtype.itemsize
    lengths = (
        np.frombuffer(mapping, np.uint8, about["lines"] * number.itemsize, HEADER + size).view(number)
        if about["lines"]
        else np.empty(0, number)
    )
    return Encoded(np.ndarray(about["ids"], dtype, mapping, HEADER), lengths, **about["counts"])


def checked(file: IO[bytes]) -> dict[str, Any]:
    """The header of a file.  Raises ValueError where header or contents do not match their checksums."""
    head, crc = file.read(HEADER), 0
    if zlib.crc32(head[:-4]).to_bytes(4, "little") != head[-4:]:
        raise ValueError("the header is damaged")
    about = json.loads(head[:-4])
    while part := file.read(READ):
        crc = zlib.crc32(part, crc)
    if crc != about["crc"]:
        raise ValueError("the ids are damaged")
    return about


def remove_old(folder: Path) -> None:
    """Remove the files that nobody has used for a month."""
    for path in folder.glob("*.ids"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - MONTH:
                path.unlink()
