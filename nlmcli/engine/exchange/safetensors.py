"""safetensors: a header in JSON that names the arrays in a file, then their bytes, one after another.

    8 bytes: the length of the header, little-endian;   the header;   the arrays, in C order, little-endian

Reading it runs no code, unlike a pickle.  github.com/huggingface/safetensors
"""

import json
from collections.abc import Callable, Mapping
from typing import IO

import numpy as np

NAMES = {np.dtype("<f4"): "F32", np.dtype("<f8"): "F64", np.dtype("<f2"): "F16", np.dtype("<i4"): "I32", np.dtype("<i8"): "I64"}
ALIGNMENT = 8  # bytes


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
