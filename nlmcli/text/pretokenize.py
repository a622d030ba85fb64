"""GPT-2's pre-tokenization: the strings that byte-level BPE never merges across.  Radford et al. 2019.

    's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+

A contraction; else a run of letters, of numbers or of other characters, with an optional leading space; else whitespace
without its last character, which starts the next string, unless it is the only one.

Letters, numbers and whitespace follow Python's version of Unicode: a newer character counts as "other". A boundary between
a non-whitespace and a whitespace character does not depend on what follows.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nlmcli.nn.kernel import kernel
from nlmcli.text.strings import Bytes, class_at
from nlmcli.text.tokenizers.char import CODE_POINTS

OTHER, LETTER, NUMBER, WHITESPACE = range(4)
CLASS_OF_CATEGORY = {"L": LETTER, "N": NUMBER, "Z": WHITESPACE}  # by the first letter of the general category
WHITESPACE_CONTROLS = [*range(0x09, 0x0E), 0x85]  # tab to carriage return, next line
ASCII_SIZE = 0x80
CLASSIFIED_END = 0x40000  # from here on there is no letter, number or whitespace
SPACE, APOSTROPHE = ord(" "), ord("'")
S, T, M, D, R, E, V, L = map(ord, "stmdrevl")

_WHITESPACE = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
BEFORE_WHITESPACE = re.compile(f"(?s:.*)[^{_WHITESPACE}](?=[{_WHITESPACE}])")


@cache
def class_table(size: int) -> npt.NDArray[np.uint8]:
    """The class of every code point below `size`."""
    table = np.full(size, OTHER, np.uint8)
    end = min(size, CLASSIFIED_END)
    table[:end] = [CLASS_OF_CATEGORY.get(unicodedata.category(chr(code))[0], OTHER) for code in range(end)]
    table[WHITESPACE_CONTROLS if size > WHITESPACE_CONTROLS[-1] else WHITESPACE_CONTROLS[:-1]] = WHITESPACE
    return table


def pretokenize(data: Bytes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """starts, ends of the strings of a text; each begins where the previous one ends."""
    has_non_ascii = len(data) and data.max() >= ASCII_SIZE  # the ASCII table takes no time to build
    edges = boundaries(data, class_table(CODE_POINTS if has_non_ascii else ASCII_SIZE))
    return edges[:-1], edges[1:]


@kernel
def boundaries(data, classes):
    """0, and the end of each string."""
    edges = np.empty(len(data) + 1, np.int32)
    edges[0] = size = i = 0
    while i < len(data):
        i = end_of(data, i, classes)
        size += 1
        edges[size] = i
    return edges[: size + 1]


@kernel
def end_of(data, i, classes):
    """The end of the string that begins at byte i."""
    if data[i] == APOSTROPHE:
        end = end_of_contraction(data, i + 1)
        if end:
            return end
    kind, end = class_at(data, i, classes)
    if data[i] == SPACE and end < len(data):
        next_kind, next_end = class_at(data, end, classes)
        if next_kind != WHITESPACE:
            kind, end = next_kind, next_end
    if kind == WHITESPACE:
        return end_of_whitespace(data, i, end, classes)
    while end < len(data):
        next_kind, next_end = class_at(data, end, classes)
        if next_kind != kind:
            break
        end = next_end
    return end


@kernel
def end_of_contraction(data, i):
    """The end of the s, t, m, d, re, ve or ll that begins at byte i; 0 if there is none."""
    first = data[i] if i < len(data) else 0
    if first in (S, T, M, D):
        return i + 1
    second = data[i + 1] if i + 1 < len(data) else 0
    if (first == R and second == E) or (first == V and second == E) or (first == L and second == L):
        return i + 2
    return 0


@kernel
def end_of_whitespace(data, i, end, classes):
    """The end of the whitespace string whose first character is data[i:end]."""
    last = i
    while end < len(data):
        kind, next_end = class_at(data, end, classes)
        if kind != WHITESPACE:
            return last if last > i else end
        last, end = end, next_end
    return end
