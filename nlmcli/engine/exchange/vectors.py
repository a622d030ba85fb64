"""Word vectors from a text file, as word2vec, GloVe and fastText write them: a token and its numbers on each line.

A first line with two whole numbers, the tokens and the dimensions, may precede them. Only the vectors that are needed are kept.
"""

import gzip
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from nlmcli.errors import InputError


def read_vectors(path: Path, dimensions: int, rows: Mapping[str, int]) -> dict[int, np.ndarray]:
    """row -> vector (D,) float32 of every token in `rows`; a token that occurs twice keeps its first vector.

    Raises InputError if the file cannot be read, or for a line that does not hold D finite numbers.
    """
    found: dict[int, np.ndarray] = {}
    for number, line in lines_of(path):
        fields = line.split(" ")
        if number == 1 and is_header(fields):
            check_dimensions(path, int(fields[1]), dimensions)
            continue
        if len(fields) <= dimensions or (number == 1 and len(fields) != dimensions + 1):
            check_dimensions(path, len(fields) - 1, dimensions, number)
        row = rows.get(" ".join(fields[:-dimensions]))
        if row is not None and row not in found:
            found[row] = vector(path, number, fields[-dimensions:])
    return found


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers. Blanks at the end of a line do not count."""
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, 1):
                if stripped := line.rstrip(b" \r\n").decode("utf-8", "replace").replace("\t", " "):
                    yield number, stripped
    except OSError as error:
        raise InputError(f"cannot read {path} ({(error.strerror or str(error)).lower()}); give a file of word vectors") from None


def open_text(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def is_header(fields: list[str]) -> bool:
    return len(fields) == 2 and all(field.isdigit() for field in fields)


def check_dimensions(path: Path, found: int, expected: int, line: int = 1) -> None:
    """Raises InputError unless the vectors are as wide as the embeddings."""
    if found == expected:
        return
    if line == 1 and found > 0:
        raise InputError(f"{path} has vectors of {found} dimensions, and --embed is {expected}; give --embed {found}")
    raise InputError(f"{path}, line {line}: there are {max(0, found)} numbers in place of {expected}; mend the line, or remove it")


def vector(path: Path, line: int, fields: list[str]) -> np.ndarray:
    try:
        values = [float(field) for field in fields]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise InputError(f"{path}, line {line}: not all of {len(fields)} fields are finite numbers; mend the line, or remove it")
    return np.array(values, np.float32)
