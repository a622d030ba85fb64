"""The strings that byte-level BPE never merges across: GPT-2's way to cut a text.  Radford et al. 2019.

    's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+

A contraction; else a run of letters, of numbers or of other characters, with one blank before it if there is one; else
white space, the last character of which is left to what follows, unless it is the only one.

Letters, numbers and white space are Unicode's, of the version that Python has: a character that is newer than that is an
"other" one. A cut that stands between what is not white space and what is depends on nothing after it.
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

OTHER, LETTER, NUMBER, BLANK = range(4)
CLASSES = {"L": LETTER, "N": NUMBER, "Z": BLANK}  # by the first letter of the category
CONTROLS = [*range(0x09, 0x0E), 0x85]  # white space too: tab to carriage return, next line
ASCII = 0x80
NAMED = 0x40000  # beyond there is no letter, number or blank
SPACE, APOSTROPHE = ord(" "), ord("'")
S, T, M, D, R, E, V, L = map(ord, "stmdrevl")

_SPACES = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
BEFORE_BLANK = re.compile(f"(?s:.*)[^{_SPACES}](?=[{_SPACES}])")


@cache
def classes(size: int) -> npt.NDArray[np.uint8]:
    """The class of every code point below `size`."""
    table = np.full(size, OTHER, np.uint8)
    named = min(size, NAMED)
    table[:named] = [CLASSES.get(unicodedata.category(chr(code))[0], OTHER) for code in range(named)]
    table[CONTROLS if size > CONTROLS[-1] else CONTROLS[:-1]] = BLANK
    return table


def split(data: Bytes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """starts, ends of the strings that a text falls into; each begins where the one before ends."""
    beyond = len(data) and data.max() >= ASCII  # the table of ASCII takes no time to make
    edges = edges_of(data, classes(CODE_POINTS if beyond else ASCII))
    return edges[:-1], edges[1:]


@kernel
def edges_of(data, classes):
    """0, and where each string ends."""
    edges = np.empty(len(data) + 1, np.int32)
    edges[0] = size = i = 0
    while i < len(data):
        i = end_of(data, i, classes)
        size += 1
        edges[size] = i
    return edges[: size + 1]


@kernel
def end_of(data, i, classes):
    """Where the string that begins at byte i ends."""
    if data[i] == APOSTROPHE:
        after = end_of_contraction(data, i + 1)
        if after:
            return after
    kind, after = class_at(data, i, classes)
    if data[i] == SPACE and after < len(data):
        following, then = class_at(data, after, classes)
        if following != BLANK:
            kind, after = following, then
    if kind == BLANK:
        return end_of_blanks(data, i, after, classes)
    while after < len(data):
        following, then = class_at(data, after, classes)
        if following != kind:
            break
        after = then
    return after


@kernel
def end_of_contraction(data, i):
    """Where the s, t, m, d, re, ve or ll that begins at byte i ends; 0 if there is none."""
    first = data[i] if i < len(data) else 0
    if first in (S, T, M, D):
        return i + 1
    second = data[i + 1] if i + 1 < len(data) else 0
    if (first == R and second == E) or (first == V and second == E) or (first == L and second == L):
        return i + 2
    return 0


@kernel
def end_of_blanks(data, i, after, classes):
    """Where the white space ends whose first character is data[i:after]."""
    last = i
    while after < len(data):
        kind, then = class_at(data, after, classes)
        if kind != BLANK:
            return last if last > i else after
        last, after = after, then
    return after
