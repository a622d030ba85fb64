"""A text as token ids of the smallest dtype that holds them: in memory or, for a long text, in a memory-mapped cache file.

The file is named by a hash of the text, the tokenizer and all sources of nlm, so an existing file holds what encoding the text
again would give. It consists of a header (JSON, padded, then its CRC-32), the ids, the length of each line, and the CRC-32 of
each block of those two, and is written atomically. A block is checked when it is first read, since kernels do not check that an
id lies in the vocabulary, and since checking all of them would take longer than a short run.
"""

import contextlib
import hashlib
import json
import mmap
import os
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from nlmcli import kernel_cache
from nlmcli.engine.reading.id_files import IdText, sizes_of_types
from nlmcli.engine.reading.remembered import FOLDER, remove_unused
from nlmcli.engine.reading.texts import Text
from nlmcli.engine.run.atomic import Unwritable, write_atomically
from nlmcli.errors import InputError
from nlmcli.nn.mapped import chunks, release
from nlmcli.text.tokenizer import AFTER_LINE_END, Tokenizer, cut

HEADER_SIZE = 1 << 12  # bytes
STRIDE = 256  # lines between two known offsets
BLOCK = 1 << 20  # bytes with a checksum of their own
FORGOTTEN = 8  # lines sliced between two releases of memory: the system may map megabytes around each
CHECKED = 1 << 24  # bytes of lengths that are checked, or copied, before their memory is released
COUNTS = ("characters", "bytes", "line_ends")


class Blocks:
    """The blocks of a mapped file, each checked once."""

    def __init__(self, path: Path, mapping: mmap.mmap, size: int, crcs: np.ndarray):
        """size: bytes after the header that belong to blocks;  crcs (blocks,) uint32"""
        self.path, self.data, self.crcs = path, memoryview(mapping)[HEADER_SIZE : HEADER_SIZE + size], crcs
        self.are_checked = np.zeros(len(crcs), bool)

    def check(self, start: int, stop: int) -> None:
        """Check the bytes from start to stop.  Raises InputError if they are damaged; the file is then removed."""
        first, last = start // BLOCK, -(-stop // BLOCK)
        for k in first + np.flatnonzero(~self.are_checked[first:last]):
            if zlib.crc32(self.data[k * BLOCK : (k + 1) * BLOCK]) != self.crcs[k]:
                with contextlib.suppress(OSError):
                    self.path.unlink()
                raise InputError(f"the encoded text in {self.path} was damaged and is removed; the same command encodes it again")
            self.are_checked[k] = True


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
    blocks: Blocks | None = None  # of a mapped file

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, start: int, stop: int) -> None:
        """Check the ids from start to stop, before they are read.  Raises InputError if they are damaged."""
        self.check_bytes(start * self.ids.itemsize, stop * self.ids.itemsize)

    def check_bytes(self, start: int, stop: int) -> None:
        """Check bytes of ids and lengths; the memory of many is released on the way."""
        if self.blocks is None:
            return
        for at in range(start, stop, CHECKED):
            self.blocks.check(at, min(at + CHECKED, stop))
            if stop - start > CHECKED:
                self.forget()

    def parts(self, size: int) -> Iterator[np.ndarray]:
        """The ids in chunks of `size`, as int64."""
        for start in range(0, len(self.ids), size):
            self.check(start, min(start + size, len(self.ids)))
            yield self.ids[start : start + size].astype(np.int64)
            self.forget()

    def lines(self) -> "EncodedLines":
        self.check_bytes(self.ids.nbytes, self.ids.nbytes + self.lengths.nbytes)
        return EncodedLines(self.ids, self.lengths, self.check)

    def forget(self) -> None:
        """Release the memory of what was read, if it is in a file."""
        release(self.ids)


class EncodedLines(Sequence[np.ndarray]):
    """The ids of each line, sliced on access.

    lengths (lines,): the number of ids of each.  The offset of every STRIDE-th line is stored; of ids and lengths in a file
    hardly anything else is in memory.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray, check: Callable[[int, int], None] = lambda start, stop: None):
        """check: called with a range of ids before it is read"""
        self.ids, self.lengths, self.check, self.sliced = ids, lengths, check, 0
        sums = [np.add.reduceat(part, np.arange(0, len(part), STRIDE), dtype=np.int64) for part in chunks(lengths)]
        self.offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *sums]))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        k = range(len(self))[i]
        start = int(self.offsets[k // STRIDE] + self.lengths[k - k % STRIDE : k].sum(dtype=np.int64))
        stop = start + int(self.lengths[k])
        self.check(start, stop)
        self.sliced += 1
        if self.sliced % FORGOTTEN == 0:
            release(self.ids)
        return self.ids[start:stop]


def encode(tokenizer: Tokenizer, text: Text, by: str) -> Encoded:
    """Encode a text, read by stream or by line. The ids of a long text are stored in a file, if there is room for one."""
    folder = kernel_cache.writable_folder(FOLDER) if text.is_long else None
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
    if isinstance(text, IdText):
        yield from given_parts(text, counts, dtype)
        return
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


def given_parts(text: IdText, counts: dict[str, int], dtype: Any) -> Iterator[np.ndarray]:
    """The parts of a text that is given as ids; updates counts."""
    sizes = sizes_of_types(text.tokenizer)
    for part in text.ids():
        times = np.bincount(part, minlength=sizes.shape[1])
        for name, total in zip(COUNTS, (sizes @ times).tolist(), strict=True):
            counts[name] += total
        yield part.astype(dtype)


def lines_of(text: str) -> list[str]:
    """The lines of a text, each including its end of line. Blank lines are skipped; a missing last end of line is added."""
    return [line + "\n" for line in text.split("\n") if line.strip()]


def encode_in_memory(tokenizer: Tokenizer, text: Text, by: str) -> Encoded:
    counts, lengths = dict.fromkeys(COUNTS, 0), array("i")
    ids = [np.empty(0, np.uint8), *encode_parts(tokenizer, text, by, counts, lengths)]
    return encoded(np.concatenate(ids), np.array(lengths), counts)


def write(file: IO[Any], tokenizer: Tokenizer, text: Text, by: str) -> None:
    """Write header, ids and lengths to an open file."""
    counts, lengths, size, lines, dtype, checksums = dict.fromkeys(COUNTS, 0), array("i"), 0, 0, "|u1", Checksums()
    file.seek(HEADER_SIZE)
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as all_lengths:
        for ids in encode_parts(tokenizer, text, by, counts, lengths):
            size, lines, dtype = size + len(ids), lines + len(lengths), ids.dtype.str
            checksums.add(ids.data.cast("B") if ids.size else b"")
            file.write(ids.data)
            all_lengths.write(lengths)
            del lengths[:]
        all_lengths.seek(0)
        while part := all_lengths.read(CHECKED):
            checksums.add(part)
            file.write(part)
    crcs = checksums.end()
    file.write(crcs)
    about = {"ids": size, "dtype": dtype, "lines": lines, "counts": counts, "blocks": len(crcs) // 4, "crc": zlib.crc32(crcs)}
    header = json.dumps(about).encode().ljust(HEADER_SIZE - 4)
    file.seek(0)
    file.write(header + zlib.crc32(header).to_bytes(4, "little"))


class Checksums:
    """The CRC-32 of every block of bytes that are given in parts."""

    def __init__(self) -> None:
        self.crcs, self.crc, self.filled = array("I"), 0, 0

    def add(self, data: Any) -> None:
        view = memoryview(data)
        while len(view):
            part = view[: BLOCK - self.filled]
            self.crc, self.filled = zlib.crc32(part, self.crc), self.filled + len(part)
            view = view[len(part) :]
            if self.filled == BLOCK:
                self.crcs.append(self.crc)
                self.crc = self.filled = 0

    def end(self) -> bytes:
        """All of them; that of the last block, which may be shorter, too."""
        if self.filled:
            self.crcs.append(self.crc)
        return self.crcs.tobytes()


def map_file(path: Path) -> Encoded:
    """Memory-map a file that `write` wrote.  Raises OSError or ValueError if it is missing, truncated, or its header is damaged."""
    with open(path, "rb") as file:
        about = verified_header(file)
        dtype, length_dtype = np.dtype(about["dtype"]), np.dtype("i")
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    size = about["ids"] * dtype.itemsize + about["lines"] * length_dtype.itemsize
    if len(mapping) != HEADER_SIZE + size + 4 * about["blocks"]:
        raise ValueError("the file is truncated")
    crcs = np.frombuffer(mapping, np.uint32, about["blocks"], HEADER_SIZE + size) if about["blocks"] else np.empty(0, np.uint32)
    if zlib.crc32(crcs.tobytes()) != about["crc"]:
        raise ValueError("the checksums are damaged")
    lengths = np.ndarray(about["lines"], length_dtype, mapping, HEADER_SIZE + about["ids"] * dtype.itemsize)
    ids = np.ndarray(about["ids"], dtype, mapping, HEADER_SIZE)
    return encoded(ids, lengths, about["counts"], Blocks(path, mapping, size, crcs))


def encoded(ids: np.ndarray, lengths: np.ndarray, counts: dict[str, int], blocks: Blocks | None = None) -> Encoded:
    return Encoded(ids, lengths, counts["characters"], counts["bytes"], counts["line_ends"], blocks)


def verified_header(file: IO[bytes]) -> dict[str, Any]:
    """The header of a file.  Raises ValueError if it does not match its checksum."""
    header = file.read(HEADER_SIZE)
    if zlib.crc32(header[:-4]).to_bytes(4, "little") != header[-4:]:
        raise ValueError("the header is damaged")
    return dict(json.loads(header[:-4]))
