"""safetensors: a header in JSON that names the arrays in a file, then their bytes, one after another.

    8 bytes: the length of the header, little-endian;   the header;   the arrays, in C order, little-endian

Reading it runs no code, unlike a pickle.  github.com/huggingface/safetensors
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from nlmcli.errors import InputError

NAMES: dict[Any, str] = {
    np.dtype("<f4"): "F32",
    np.dtype("<f8"): "F64",
    np.dtype("<f2"): "F16",
    np.dtype("<i4"): "I32",
    np.dtype("<i8"): "I64",
}
TYPES: dict[str, np.dtype[Any]] = {name: dtype for dtype, name in NAMES.items()} | {"BF16": np.dtype("<u2")}
ALIGNMENT, LARGEST_HEADER = 8, 100_000_000  # bytes


class Tensors:
    """The arrays of a file, by name. They are mapped: an array is read when it is used.

    Raises InputError if the file is no safetensors file, is cut, or says what cannot be.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
        except OSError as error:
            raise InputError(f"cannot read {path} ({(error.strerror or str(error)).lower()})") from None
        length = int.from_bytes(self.data[:8].tobytes(), "little")
        if len(self.data) < 8 or length > min(LARGEST_HEADER, len(self.data) - 8):
            raise InputError(f"{path} is no safetensors file, or is cut: its header would have {length:,} bytes")
        self.begin = 8 + length
        self.entries = self.checked(self.header(self.data[8 : self.begin].tobytes()))

    def header(self, text: bytes) -> dict[str, Any]:
        try:
            header = json.loads(text)
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict):
            raise InputError(f"{self.path} is no safetensors file: its header is not JSON")
        header.pop("__metadata__", None)
        return header

    def checked(self, header: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
        """name -> type, shape, begin, end; the arrays lie one after another and fill the file."""
        entries = {name: self.entry(name, each) for name, each in header.items()}
        at = 0
        for name, (_, _, start, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
            if start != at:
                raise InputError(f"{self.path}: {name} does not begin where the array before it ends; the file is damaged")
            at = end
        if at != len(self.data) - self.begin:
            raise InputError(f"{self.path} has {len(self.data) - self.begin:,} bytes of arrays, not {at:,}; it is cut or damaged")
        return entries

    def entry(self, name: str, each: Any) -> tuple[str, tuple[int, ...], int, int]:
        try:
            dtype, shape, (start, end) = each["dtype"], tuple(each["shape"]), each["data_offsets"]
            whole = all(isinstance(n, int) and n >= 0 for n in (*shape, start, end))
            if not whole or dtype not in TYPES or end - start != math.prod(shape) * TYPES[dtype].itemsize:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{self.path}: {name} has no valid type, shape and place; nlm reads {', '.join(TYPES)}") from None
        return dtype, shape, start, end

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __iter__(self) -> Any:
        return iter(self.entries)

    def __getitem__(self, name: str) -> np.ndarray:
        """The array as float32, or as it is if it has no floats."""
        dtype, shape, start, end = self.entries[name]
        array = self.data[self.begin + start : self.begin + end].view(TYPES[dtype]).reshape(shape)
        if dtype == "BF16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def writer(tensors: Mapping[str, np.ndarray]) -> Callable[[IO[bytes]], None]:
    """A function that writes these arrays to an open file, one at a time."""

    def write(file: IO[bytes]) -> None:
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}  # without it, older versions of transformers refuse the file
        offset = 0
        for name, array in tensors.items():
            header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
            offset += array.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")

    return write
