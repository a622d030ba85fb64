"""Distinct strings: the few that make up most of a text are numbered, and each is worked out once.

A text is its bytes in UTF-8, data (bytes,) uint8, and a string a part of it, data[start:end].  cut(data) -> starts,
ends: where the strings of a text lie.
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
Cut = Callable[[Bytes], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
Integers = Sequence[int] | npt.NDArray[Any]


class Strings:
    """Distinct strings, numbered by first appearance: an open-addressing hash table that grows.

    bounds, store: string k is store[bounds[k] : bounds[k + 1]].  slots: the numbers, each where its hash put it; -1 is free
    """

    def __init__(self) -> None:
        self.size = 0
        self.slots, self.hashes = np.full(1 << 12, -1, np.int32), np.empty(1 << 11, np.int64)
        self.bounds, self.store = np.zeros((1 << 11) + 1, np.int64), np.empty(1 << 14, np.uint8)

    def number(self, data: Bytes, starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """The number of every string (strings,); those not seen before get the next ones."""
        numbers, done = np.empty(len(starts), np.int32), 0
        while done < len(numbers):
            done, self.size = number(data, starts, ends, numbers, done, self.size, self.slots, self.hashes, self.bounds, self.store)
            if done < len(numbers):
                self.grow(int(ends[done] - starts[done]))
        return numbers

    def grow(self, length: int) -> None:
        """Make room for twice as many strings, the next of which has that many bytes."""
        most = len(self.slots)
        self.hashes, self.bounds = enlarged(self.hashes, most), enlarged(self.bounds, most + 1)
        self.store = enlarged(self.store, 2 * len(self.store) + length)
        self.slots = spread(self.hashes[: self.size], 2 * most)

    def of(self, first: int) -> list[str]:
        """The strings from number `first` on."""
        bounds = self.bounds[first : self.size + 1].tolist()
        store = self.store[bounds[0] : bounds[-1]].tobytes()
        parts = (store[start - bounds[0] : end - bounds[0]] for start, end in pairwise(bounds))
        return [part.decode("utf-8", "surrogatepass") for part in parts]

    def __len__(self) -> int:
        return self.size


def counted(parts: Iterable[str], cut: Cut, most: float = math.inf) -> tuple[Strings, npt.NDArray[np.int64]]:
    """The distinct strings of the parts of a text, and how often each stands in them.

    most: bytes of distinct strings after which no further part is read
    """
    strings, counts = Strings(), np.zeros(0, np.int64)
    for data in map(utf8, parts):
        numbers = strings.number(data, *cut(data))
        more = np.bincount(numbers, minlength=len(strings))
        more[: len(counts)] += counts
        counts = more
        if strings.bounds[len(strings)] > most:
            break
    return strings, counts


class Memory:
    """Strings -> their ids, each string worked out the first time it is met.

    work_out(strings, first) -> ids, lengths: the ids of the strings from number `first` on, in a row, and how many each has
    """

    MOST = 1 << 24  # bytes of strings, and a sixteenth as many strings; with more than that, all are forgotten

    def __init__(self, cut: Cut, work_out: Callable[[Strings, int], tuple[Integers, Integers]]) -> None:
        self.cut, self.work_out = cut, work_out
        self.forget()

    def forget(self) -> None:
        self.strings = Strings()
        self.ids, self.bounds = np.empty(1 << 12, np.int32), np.zeros(1, np.int64)

    def encode(self, parts: Iterable[str]) -> Ids:
        """The ids of all strings of the parts of a text."""
        found = [*map(self.ids_of, map(utf8, parts))]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.int32), *found])

    def ids_of(self, data: Bytes) -> Ids:
        """The ids of all strings of one part."""
        known = len(self.strings)
        if self.strings.bounds[known] > self.MOST or known > self.MOST >> 4:
            self.forget()
            known = 0
        numbers = self.strings.number(data, *self.cut(data))
        if len(self.strings) > known:
            self.learn(known)
        return gather(numbers, self.bounds, self.ids)

    def learn(self, known: int) -> None:
        """Append the ids of the strings from number `known` on."""
        ids, lengths = self.work_out(self.strings, known)
        end = int(self.bounds[known])
        if end + len(ids) > len(self.ids):
            self.ids = enlarged(self.ids, 2 * (end + len(ids)))
        self.bounds = enlarged(self.bounds, len(self.strings.bounds))
        self.ids[end : end + len(ids)] = ids
        self.bounds[known + 1 : len(self.strings) + 1] = end + np.cumsum(lengths)


def enlarged(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """The array, or, where it is shorter than that, a longer one that begins with it."""
    return array if len(array) >= length else np.concatenate([array, np.empty(length - len(array), array.dtype)])


@kernel
def number(data, starts, ends, numbers, done, size, slots, hashes, bounds, store):
    """Number the strings from the done-th on, until all are or the table is full.  -> how many are, the table's new size."""
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
    """31 bits of the hash FNV-1a.  Fowler, Noll and Vo 1991."""
    code = np.int64(0x11C9DC5)
    for i in range(start, end):
        code = ((code ^ np.int64(data[i])) * 0x1000193) & 0x7FFFFFFF
    return code


@kernel
def slot_of(data, start, end, code, slots, bounds, store):
    """Where the string stands in the table, or the free slot where it would."""
    slot = code & (len(slots) - 1)
    while slots[slot] >= 0 and not same(data, start, end, store, bounds[slots[slot]], bounds[slots[slot] + 1]):
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@kernel
def same(data, start, end, store, first, last):
    """Whether data[start:end] is store[first:last]."""
    if end - start != last - first:
        return False
    for i in range(end - start):  # noqa: SIM110 - a kernel
        if data[start + i] != store[first + i]:
            return False
    return True


@kernel
def spread(hashes, capacity):
    """The slots of a table of that capacity, a power of two."""
    slots = np.full(capacity, -1, np.int32)
    for k in range(len(hashes)):
        slot = hashes[k] & (capacity - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (capacity - 1)
        slots[slot] = k
    return slots


@kernel
def gather(numbers, bounds, ids):
    """The ids of string after string: of number n, ids[bounds[n] : bounds[n + 1]]."""
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
    after = i + (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
    code = lead & (0xFF >> (after - i + 1))
    for k in range(i + 1, after):
        code = code << 6 | (np.int64(data[k]) & 0x3F)
    return classes[code], after
