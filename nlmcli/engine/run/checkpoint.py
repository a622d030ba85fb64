"""A checkpoint is an .npz file that `numpy.load` reads with allow_pickle=False.

Parameters are stored under their letters, everything else under a prefix (`optimizer.m`, `state.0.0`). `about` is a JSON
string: format version, model, sizes, tokenizer, settings, counters, and for each array the CRC-32 of its .npy (dtype, shape
and bytes). The zip stores the same checksum for each member, including `about`; the second copy also reveals arrays of another
checkpoint. So whichever bit is flipped, either the file is refused, or the bit carries no information (dates, attributes, the
second copies of sizes and names) and the arrays are unchanged.
"""

import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from nlmcli.engine.run.atomic import write_atomically
from nlmcli.errors import InputError
from nlmcli.nn.mapped import chunks

FORMAT = 2  # 1 had no checksums; it is refused

ALIGNMENT = 64  # bytes
LOCAL_HEADER, ZIP64_FIELD, PADDING_HEADER, PADDING = 30, 20, 4, 0x6E6C  # of a member of a zip: sizes, and the number of our own field
BLOCK = 1 << 20  # bytes, or numbers, read at a time
# What reading another kind of file, or a damaged one, may raise; NotImplementedError is a RuntimeError.
UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile)


class Damaged(InputError):
    """The file is not a checkpoint, or a truncated or damaged one."""


def save(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write arrays by name, and their description.  Raises InputError if that fails; an existing file is then unchanged."""
    write_atomically(path, lambda file: write(file, arrays, about))


def write(file: IO[bytes], arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """The same, to an open file."""
    with zipfile.ZipFile(file, "w") as archive:
        checksums = {name: write_array(archive, name, value) for name, value in arrays.items()}
        write_array(archive, "about", np.array(json.dumps({"format": FORMAT, **about, "checksums": checksums})))


def write_array(archive: zipfile.ZipFile, name: str, value: np.ndarray) -> int:
    """Add an array to the zip, its numbers at a multiple of ALIGNMENT, so that they can be mapped.  -> the CRC-32 of its .npy"""
    member = zipfile.ZipInfo(f"{name}.npy")
    assert archive.fp is not None
    before = archive.fp.tell() + LOCAL_HEADER + len(member.filename.encode()) + ZIP64_FIELD + PADDING_HEADER
    padding = -before % ALIGNMENT
    member.extra = PADDING.to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
    with archive.open(member, "w", force_zip64=True) as file:
        if isinstance(value, np.memmap):
            write_mapped(file, value)
        else:
            np.lib.format.write_array(file, value, allow_pickle=False)
    return archive.getinfo(member.filename).CRC


def write_mapped(file: IO[bytes], value: np.memmap) -> None:
    """Write an array in a file, in blocks; the memory of what was read is released."""
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(value))
    for part in chunks(value.reshape(-1)):
        file.write(part.tobytes())


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and their description; the arrays of a model that was made within a given memory are mapped, not read.

    Raises Damaged for an invalid or damaged file, InputError for another format version.
    """
    with opened(path) as (archive, size):
        return read(archive, size, path)


def description(path: Path) -> dict[str, Any]:
    """What the file says of its arrays, which are not read.  Raises Damaged or InputError, as `load` does."""
    with opened(path) as (archive, size):
        return {name: value for name, value in described(archive, size).items() if name != "checksums"}


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """The archive and its size in bytes; what goes wrong with it inside of the block is raised as one sentence."""
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            yield archive, os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise InputError(f"no checkpoint at {path}") from None
    except InputError as error:
        raise type(error)(f"{path} {error}") from None
    except UNREADABLE as error:
        raise Damaged(f"{path} is not a valid nlm checkpoint ({error or type(error).__name__})") from None


def described(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """The description, with the checksums of the arrays.  Raises as `read` does."""
    about = json.loads(str(read_array(archive, "about", size)))
    if not isinstance(about, dict):
        raise Damaged("is not a valid nlm checkpoint (its description is no JSON object)")
    if about.get("format") != FORMAT:
        raise InputError(f"has checkpoint format {about.get('format')}; this nlm reads format {FORMAT}; train the model again")
    return about


def read(archive: zipfile.ZipFile, size: int, path: Path | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file of this size, and their description.  Raises InputError, worded to follow the path, or one of UNREADABLE."""
    about = described(archive, size)
    checksums = dict(about.pop("checksums"))
    names = {name.removesuffix(".npy") for name in archive.namelist()} - {"about"}
    for name in names ^ set(checksums):
        raise Damaged(f"is damaged: array {name} is {'missing' if name in checksums else 'unexpected'}")
    settings = about.get("settings")
    if path and isinstance(settings, dict) and settings.get("memory"):
        return {name: map_array(archive, name, size, checksum, path) for name, checksum in checksums.items()}, about
    return {name: read_array(archive, name, size, checksum) for name, checksum in checksums.items()}, about


def read_array(archive: zipfile.ZipFile, name: str, size: int, checksum: int | None = None) -> np.ndarray:
    """One array of a file of this size. Nothing is unpickled, and no more memory is allocated than the size of the file.

    Raises Damaged if it does not match its checksum, one of UNREADABLE if it is not a plain array.
    """
    member = stored(archive, name, size)
    try:
        data, matches = bytearray(archive.read(member)), checksum in (None, member.CRC)
    except zipfile.BadZipFile:
        matches = False
    if not matches:
        raise Damaged(f"is damaged: array {name} does not match its checksum")
    header = BytesIO(data[: 1 << 12])
    shape, fortran, dtype = header_of(header, len(data), name)
    return np.ndarray(shape, dtype, data, header.tell(), order="F" if fortran else "C")


def stored(archive: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    """The member of an array.  Raises KeyError if there is none, ValueError if it is compressed or larger than the file."""
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED or not member.file_size == member.compress_size <= size:
        raise ValueError(f"{name} is compressed")
    return member


def header_of(file: BytesIO, size: int, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of an .npy of this size.  Raises ValueError if it is not a plain array."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} has an unsupported .npy version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"{name} is not an array of numbers, or its size is wrong")
    return shape, fortran, dtype


def map_array(archive: zipfile.ZipFile, name: str, size: int, checksum: int, path: Path) -> np.ndarray:
    """One array, whose checksum is verified in blocks, mapped where it lies in the file; changes do not get into the file.

    Raises Damaged if it does not match its checksum, one of UNREADABLE if it is not a plain array.
    """
    member, crc = stored(archive, name, size), 0
    try:
        with archive.open(member) as file:
            header = BytesIO(start := file.read(1 << 12))
            crc = zlib.crc32(start)
            while block := file.read(BLOCK):
                crc = zlib.crc32(block, crc)
    except zipfile.BadZipFile:
        crc = -1
    if crc != checksum:
        raise Damaged(f"is damaged: array {name} does not match its checksum")
    shape, fortran, dtype = header_of(header, member.file_size, name)
    if not math.prod(shape):
        return np.empty(shape, dtype)
    with open(path, "rb") as whole:
        whole.seek(member.header_offset)
        local = whole.read(LOCAL_HEADER)
    start_of_data = member.header_offset + LOCAL_HEADER + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    return np.memmap(path, dtype, "c", start_of_data + header.tell(), shape, "F" if fortran else "C")
