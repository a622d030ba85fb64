"""Distinct strings: the few that make up most of a text are numbered, and each is encoded once.

A text is its UTF-8 bytes, data (bytes,) uint8, and a string is a slice data[start:end].  split(data) -> starts, ends of
the strings of a text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nlmcli.nn.kernel import kernel
from nlmcli.text.tokenizer import Ids
from nlmcli.text.tokenizers.byte import utf8

Bytes = npt.NDArray[np.uint8]
Split = Callable[[Bytes], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
Integers = Sequence[int] | npt.NDArray[Any]


class StringTable:
    """Distinct strings, numbered by first occurrence: a growing hash table with open addressing.

    bounds, store: string k is store[bounds[k] : bounds[k + 1]].  slots: the numbers by hash slot; -1 is a free slot.
    """

    def __init__(self) -> None:
        self.size = 0
        self.slots, self.hashes = np.full(1 << 12, -1, np.int32), np.empty(1 << 11, np.int64)
        self.bounds, self.store = np.zeros((1 << 11) + 1, np.int64), np.empty(1 << 14, np.uint8)

    def intern(self, data: Bytes, starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """The number of every string (strings,); new strings are added and get the next numbers."""
        numbers, done = np.empty(len(starts), np.int32), 0
        while done < len(numbers):
            done, self.size = intern(data, starts, ends, numbers, done, self.size, self.slots, self.hashes, self.bounds, self.store)
            if done < len(numbers):
                self.grow(int(ends[done] - starts[done]))
        return numbers

    def grow(self, length: int) -> None:
        """Make room for twice as many strings, and for a next one of `length` bytes."""
        capacity = len(self.slots)
        self.hashes, self.bounds = resized(self.hashes, capacity), resized(self.bounds, capacity + 1)
        self.store = resized(self.store, 2 * len(self.store) + length)
        self.slots = rehash(self.hashes[: self.size], 2 * capacity)

    def only(self, kept: npt.NDArray[np.bool_]) -> StringTable:
        """A table of some of the strings, in the same order.  kept (strings,)"""
        table, starts, ends = StringTable(), self.bounds[: self.size][kept], self.bounds[1 : self.size + 1][kept]
        table.intern(self.store, starts, ends)
        return table

    def to_list(self, first: int = 0) -> list[str]:
        """The strings from number `first` on."""
        bounds = self.bounds[first : self.size + 1].tolist()
        store = self.store[bounds[0] : bounds[-1]].tobytes()
        parts = (store[start - bounds[0] : end - bounds[0]] for start, end in pairwise(bounds))
        return [part.decode("utf-8", "surrogatepass") for part in parts]

    def __len__(self) -> int:
        return self.size


ON_DROPPED: list[Callable[[int, int], object]] = []  # called with a number of strings, and how often they had occurred at most


def count_strings(
    parts: Iterable[str], split: Split, max_bytes: float = math.inf, most: float = math.inf
) -> tuple[StringTable, npt.NDArray[np.int64], int]:
    """The distinct strings in the parts of a text, their counts, and how many occurrences were dropped.

    max_bytes: total length of the distinct strings after which no further part is read.  most: distinct strings beyond which the
    rarest are dropped, so that half as many are left; one that occurs again later is counted from there on.
    """
    strings, counts, dropped = StringTable(), np.zeros(0, np.int64), 0
    for data in map(utf8, parts):
        numbers = strings.intern(data, *split(data))
        new_counts = np.bincount(numbers, minlength=len(strings))
        new_counts[: len(counts)] += counts
        counts = new_counts
        if strings.bounds[len(strings)] > max_bytes:
            break
        if len(strings) > most:
            rare = int(np.partition(counts, len(counts) - int(most) // 2)[len(counts) - int(most) // 2])
            kept = counts > rare
            dropped += int(counts[~kept].sum())
            for each in ON_DROPPED:
                each(int((~kept).sum()), rare)
            strings, counts = strings.only(kept), counts[kept]
    return strings, counts, dropped


class EncodingCache:
    """Strings -> their ids; each string is encoded once, when it first occurs.

    encode_strings(strings, first) -> ids, lengths: the concatenated ids of the strings from number `first` on, and how many
    ids each string has.
    """

    MAX_BYTES = 1 << 24  # of strings; beyond it, or a sixteenth as many strings, the cache is cleared

    def __init__(self, split: Split, encode_strings: Callable[[StringTable, int], tuple[Integers, Integers]]) -> None:
        self.split, self.encode_strings = split, encode_strings
        self.clear()

    def clear(self) -> None:
        self.strings = StringTable()
        self.ids, self.bounds = np.empty(1 << 12, np.int32), np.zeros(1, np.int64)

    def encode(self, parts: Iterable[str]) -> Ids:
        """The ids of the parts of a text, concatenated."""
        ids = [*map(self.encode_part, map(utf8, parts))]
        return ids[0] if len(ids) == 1 else np.concatenate([np.empty(0, np.int32), *ids])

    def encode_part(self, data: Bytes) -> Ids:
        """The ids of one part."""
        known = len(self.strings)
        if self.strings.bounds[known] > self.MAX_BYTES or known > self.MAX_BYTES >> 4:
            self.clear()
            known = 0
        numbers = self.strings.intern(data, *self.split(data))
        if len(self.strings) > known:
            self.append(known)
        return gather(numbers, self.bounds, self.ids)

    def append(self, first: int) -> None:
        """Append the ids of the strings from number `first` on."""
        ids, lengths = self.encode_strings(self.strings, first)
        end = int(self.bounds[first])
        if end + len(ids) > len(self.ids):
            self.ids = resized(self.ids, 2 * (end + len(ids)))
        self.bounds = resized(self.bounds, len(self.strings.bounds))
        self.ids[end : end + len(ids)] = ids
        self.bounds[first + 1 : len(self.strings) + 1] = end + np.cumsum(lengths)


def resized(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """The array, or, if it is shorter than `length`, a copy of this length; the new elements are uninitialized."""
    return array if len(array) >= length else np.concatenate([array, np.empty(length - len(array), array.dtype)])


@kernel
def intern(data, starts, ends, numbers, done, size, slots, hashes, bounds, store):
    """Number the strings from number `done` on until the table is full.  -> how many are done, the new size of the table."""
    for k in range(done, len(starts)):
        start, end = starts[k], ends[k]
        code = hash_of(data, start, end)
        slot = slot_of(data, start, end, code, slots, bounds, store)
        if slots[slot] < 0:
            last = bounds[size] + end - start
            if 2 * size == len(slots) or last > len(store):
                return k, size
            slots[slot], hashes[size], bounds[size + 1] = size, code, last
            store[bounds[size] : last] = data[start:end]
            size += 1
        numbers[k] = slots[slot]
    return len(starts), size


@kernel
def hash_of(data, start, end):
    """31 bits of the FNV-1a hash.  Fowler, Noll and Vo 1991."""
    code = np.int64(0x11C9DC5)
    for i in range(start, end):
        code = ((code ^ np.int64(data[i])) * 0x1000193) & 0x7FFFFFFF
    return code


@kernel
def slot_of(data, start, end, code, slots, bounds, store):
    """The slot of the string, or the free slot in which to insert it."""
    slot = code & (len(slots) - 1)
    while slots[slot] >= 0 and not is_equal(data, start, end, store, bounds[slots[slot]], bounds[slots[slot] + 1]):
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@kernel
def is_equal(data, start, end, store, first, last):
    """Whether data[start:end] equals store[first:last]."""
    if end - start != last - first:
        return False
    for i in range(end - start):  # noqa: SIM110 - a kernel
        if data[start + i] != store[first + i]:
            return False
    return True


@kernel
def rehash(hashes, capacity):
    """The slots of a table with this capacity, a power of two."""
    slots = np.full(capacity, -1, np.int32)
    for k in range(len(hashes)):
        slot = hashes[k] & (capacity - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (capacity - 1)
        slots[slot] = k
    return slots


@kernel
def gather(numbers, bounds, ids):
    """The concatenated ids of the strings; those of number n are ids[bounds[n] : bounds[n + 1]]."""
    total = 0
    for n in numbers:
        total += bounds[n + 1] - bounds[n]
    out, end = np.empty(total, np.int32), 0
    for n in numbers:
        for i in range(bounds[n], bounds[n + 1]):
            out[end] = ids[i]
            end += 1
    return out


@kernel
def class_at(data, i, classes):
    """The class of the character that begins at byte i, and where the next begins.  classes: by code point."""
    lead = np.int64(data[i])
    if lead < 0x80:
        return classes[lead], i + 1
    end = i + (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
    code = lead & (0xFF >> (end - i + 1))
    for k in range(i + 1, end):
        code = code << 6 | (np.int64(data[k]) & 0x3F)
    return classes[code], end
