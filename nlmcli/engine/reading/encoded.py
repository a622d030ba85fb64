"""A text as token ids of the smallest dtype that holds them: in memory or, for a long text, in a memory-mapped cache file.

The file is named by a hash of the text, the tokenizer and all sources of nlm, so an existing file holds what encoding the text
again would give. It consists of a header (JSON, padded, then its CRC-32), the ids, and the length of each line, and is written
atomically. The header contains the CRC-32 of the rest, since kernels do not check that an id lies in the vocabulary.
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

LARGE = 1 << 26  # characters from which on a text's ids are stored in a file
HEADER_SIZE = 1 << 12  # bytes
STRIDE = 64  # lines between two known offsets
READ_SIZE = 1 << 20  # bytes read at a time for the checksum
COUNTS = ("characters", "bytes", "line_ends")
MAX_UNUSED = 30 * 24 * 3600.0  # seconds after which an unused file is removed


@dataclass(frozen=True)
class Encoded:
    """ids (N,) of a text, and lengths: the number of ids in each line, including its end of line; empty for a stream.

    line_ends: those in the text; by line, every line has one.
    """

    ids: np.ndarray
    lengths: np.ndarray
    characters: int
    bytes: int
    line_ends: int

    def __len__(self) -> int:
        return len(self.ids)

    def parts(self, size: int) -> Iterator[np.ndarray]:
        """The ids in chunks of `size`, as int64."""
        for start in range(0, len(self.ids), size):
            yield self.ids[start : start + size].astype(np.int64)
            self.forget()

    def lines(self) -> "EncodedLines":
        return EncodedLines(self.ids, self.lengths)

    def forget(self) -> None:
        """Release the mapped pages that were read: they stay in the page cache, but do not count as this process's memory."""
        if isinstance(self.ids.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.ids.base.madvise(mmap.MADV_DONTNEED)


class EncodedLines(Sequence[np.ndarray]):
    """The ids of each line, sliced on access.

    lengths (lines,): the number of ids of each.  The offset of every STRIDE-th line is stored, so memory is hardly more than that.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray):
        self.ids, self.lengths = ids, lengths
        sums = np.add.reduceat(lengths, np.arange(0, len(lengths), STRIDE), dtype=np.int64) if len(lengths) else np.empty(0, np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(sums)])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        k = range(len(self))[i]
        start = int(self.offsets[k // STRIDE] + self.lengths[k - k % STRIDE : k].sum(dtype=np.int64))
        return self.ids[start : start + int(self.lengths[k])]


def encode(tokenizer: Tokenizer, text: Text, by: str) -> Encoded:
    """Encode a text, read by stream or by line. The ids of a long text are stored in a file, if there is room for one."""
    folder = kernel_cache.writable_folder("texts") if text.digest and text.characters >= LARGE else None
    if folder is None:
        return encode_in_memory(tokenizer, text, by)
    path = Path(folder) / f"{cache_key(tokenizer, text, by)}.ids"
    with contextlib.suppress(OSError, ValueError):  # missing or damaged
        os.utime(path)
        return map_file(path)
    remove_unused(path.parent)
    try:
        write_atomically(path, lambda file: write(file, tokenizer, text, by))
        return map_file(path)
    except Unwritable:
        return encode_in_memory(tokenizer, text, by)


def cache_key(tokenizer: Tokenizer, text: Text, by: str) -> str:
    """A hash of the text, the tokenizer, and the code that encodes one with the other."""
    key = [text.digest, by, tokenizer.to_dict(), kernel_cache.source_hash()]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def encode_parts(tokenizer: Tokenizer, text: Text, by: str, counts: dict[str, int], lengths: array) -> Iterator[np.ndarray]:
    """The ids part by part, in the smallest dtype; updates counts, and appends the length of each line to lengths."""
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
    """The lines of a text, each including its end of line. Blank lines are skipped; a missing last end of line is added."""
    return [line + "\n" for line in text.split("\n") if line.strip()]


def encode_in_memory(tokenizer: Tokenizer, text: Text, by: str) -> Encoded:
    counts, lengths = dict.fromkeys(COUNTS, 0), array("i")
    ids = [np.empty(0, np.uint8), *encode_parts(tokenizer, text, by, counts, lengths)]
    return Encoded(np.concatenate(ids), np.array(lengths), **counts)


def write(file: IO[Any], tokenizer: Tokenizer, text: Text, by: str) -> None:
    """Write header, ids and lengths to an open file."""
    counts, lengths, size, dtype, crc = dict.fromkeys(COUNTS, 0), array("i"), 0, "|u1", 0
    file.seek(HEADER_SIZE)
    for ids in encode_parts(tokenizer, text, by, counts, lengths):
        size, dtype, crc = size + len(ids), ids.dtype.str, zlib.crc32(ids.data, crc)
        file.write(ids.data)
    file.write(lengths)
    about = {"ids": size, "dtype": dtype, "lines": len(lengths), "counts": counts, "crc": zlib.crc32(lengths, crc)}
    header = json.dumps(about).encode().ljust(HEADER_SIZE - 4)
    file.seek(0)
    file.write(header + zlib.crc32(header).to_bytes(4, "little"))


def map_file(path: Path) -> Encoded:
    """Memory-map a file that `write` wrote.  Raises OSError or ValueError if it is missing, truncated or damaged."""
    with open(path, "rb") as file:
        about = verified_header(file)
        dtype, length_dtype = np.dtype(about["dtype"]), np.dtype("i")
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    lengths = np.ndarray(about["lines"], length_dtype, mapping, HEADER_SIZE + about["ids"] * dtype.itemsize)
    return Encoded(np.ndarray(about["ids"], dtype, mapping, HEADER_SIZE), lengths, **about["counts"])


def verified_header(file: IO[bytes]) -> dict[str, Any]:
    """The header of a file.  Raises ValueError if the header or the contents do not match their checksums."""
    header, crc = file.read(HEADER_SIZE), 0
    if zlib.crc32(header[:-4]).to_bytes(4, "little") != header[-4:]:
        raise ValueError("the header is damaged")
    about = json.loads(header[:-4])
    while part := file.read(READ_SIZE):
        crc = zlib.crc32(part, crc)
    if crc != about["crc"]:
        raise ValueError("the ids are damaged")
    return about


def remove_unused(folder: Path) -> None:
    """Remove the files that have not been used for a month."""
    for path in folder.glob("*.ids"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - MAX_UNUSED:
                path.unlink()
