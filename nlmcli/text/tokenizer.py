"""What every tokenizer has: a vocabulary, its counts, and the way from text to ids and back."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from nlmcli.errors import InputError

Ids = npt.NDArray[np.int32]

UNKNOWN = "<unk>"
CHUNK = 1 << 20  # characters; the pieces of a long text never stand in memory all at once

# Where a text may be cut: each matches a part of it up to the last such place.
AFTER_BLANK = re.compile(r"(?s:.*)\s")
AFTER_LINE_END = re.compile(r"(?s:.*)\n")


def cut(text: str | Iterable[str], at: re.Pattern[str], size: int = CHUNK) -> Iterator[str]:
    """The text, or that of these parts, in parts of about `size` characters, cut only where `at` says that it may be."""
    waiting: list[str] = []
    for part in sliced(text, size):
        if waiting and (found := at.match(waiting[-1])):
            last = waiting.pop()
            yield "".join([*waiting, last[: found.end()]])
            waiting = [last[found.end() :]]
        waiting.append(part)
    if waiting:
        yield "".join(waiting)


def sliced(text: str | Iterable[str], size: int) -> Iterator[str]:
    """The text, or that of these parts, in parts of at most `size` characters."""
    for part in [text] if isinstance(text, str) else text:
        for start in range(0, len(part), size):
            yield part[start : start + size]


def visible(piece: str) -> str:
    """A blank as ␣, a byte of no whole character (PEP 383) as <0xE8>, what else does not print as its escape."""
    return "".join(c if c.isprintable() else escape(c) for c in piece.replace(" ", "␣"))


def escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"<0x{ord(character) - 0xDC00:02X}>"
    return character.encode("unicode_escape").decode()


class Writer:
    """Ids one by one -> text: what `add` gives, piece after piece, and `rest` at the end are what `decode` gives for all."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def add(self, i: int) -> str:
        """What the id adds to the text."""
        return self.tokenizer.vocabulary[i]

    def rest(self) -> str:
        """What is written when nothing more comes."""
        return ""

    def copy(self) -> Writer:
        """A writer that has written the same and goes on by itself."""
        return copy.copy(self)


class Tokenizer(ABC):
    """A map from text to ids, id i standing for `vocabulary[i]`, seen `counts[i]` times in the training text.

    `counts` adds up to the tokens of the training text: those outside the vocabulary count for `unknown`.
    `newline` is the id of a line end. A text begins as if after a line break, so it is also what a model
    reads before the first token.
    """

    name: ClassVar[str]
    line_end: ClassVar[str]  # the piece of `newline`; always in the vocabulary
    reserved: ClassVar[tuple[str, ...]] = ()  # the pieces of the first ids
    cut_at: ClassVar[re.Pattern[str]] = AFTER_BLANK  # where a text may be cut and its tokens stay the same
    default_min_count: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("vocabulary", "counts", "lowercase", "min_count")  # what is saved
    learned: ClassVar[bool] = False  # whether what a text falls into depends on what the tokenizer was fitted on

    vocabulary: list[str]
    counts: npt.NDArray[np.int64]
    unknown: int | None
    newline: int
    lowercase: bool
    min_count: int

    def __init__(self, vocabulary: Iterable[str], counts: npt.ArrayLike, *, lowercase: bool = False, min_count: int = 1) -> None:
        """Raises InputError where vocabulary and counts do not belong together."""
        self.vocabulary = list(vocabulary)
        self.counts = np.asarray(counts, dtype=np.int64)
        self.lowercase, self.min_count = bool(lowercase), int(min_count)
        self.index = {piece: i for i, piece in enumerate(self.vocabulary)}
        if self.counts.shape != (len(self.index),) or len(self.index) != len(self.vocabulary):
            raise InputError(
                f"a vocabulary of {len(self.vocabulary)} pieces, {len(self.index)} of them distinct, "
                f"does not fit {self.counts.size} counts; fit the tokenizer again"
            )
        first = tuple(self.vocabulary[: len(self.reserved)])
        if first != self.reserved or self.line_end not in self.index:
            raise InputError(
                f"a {self.name} vocabulary begins with {self.reserved} and holds {self.line_end!r}, not {first}; fit the tokenizer again"
            )
        self.unknown = self.index.get(UNKNOWN) if UNKNOWN in self.reserved else None
        self.newline = self.index[self.line_end]

    @classmethod
    def fit(
        cls,
        text: str | Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int | None = None,
        lowercase: bool = False,
    ) -> Tokenizer:
        """The tokenizer with the types of the text, or of the text of these parts: the most frequent first, equals by first appearance.

        vocab_size bounds all types, the reserved ones included; a type seen less than min_count times
        (None: the tokenizer's own default) is unknown.  Raises InputError for a bound too small.
        """
        min_count = cls.default_min_count if min_count is None else min_count
        cls.check_bounds(vocab_size, min_count)
        counted = cls.count(cls.parts(text, lowercase))
        vocabulary = cls.select(counted, vocab_size, min_count)
        counts = np.array([counted.get(piece, 0) for piece in vocabulary], dtype=np.int64)
        counts[0] += sum(counted.values()) - counts.sum()
        return cls(vocabulary, counts, lowercase=lowercase, min_count=min_count)

    @classmethod
    def parts(cls, text: str | Iterable[str], lowercase: bool = False) -> Iterator[str]:
        """The text, or that of these parts, in parts that are encoded one by one as the whole is."""
        for part in cut(text, cls.cut_at, CHUNK):
            # Lower case depends on neighbours within a word only (final sigma), so part by part is as good.
            yield part.lower() if lowercase else part

    @classmethod
    def check_bounds(cls, vocab_size: int | None, min_count: int) -> None:
        """Raises InputError for bounds under which no vocabulary exists."""
        if min_count < 1:
            raise InputError(f"min-count {min_count} is too small; give 1 or more")
        least = len({*cls.reserved, cls.line_end})
        if vocab_size is not None and vocab_size < least:
            raise InputError(f"vocab-size {vocab_size} is too small for the {cls.name} tokenizer; give {least} or more")

    @classmethod
    def count(cls, parts: Iterable[str]) -> Mapping[str, int]:
        """How often each piece stands in the parts of a text, in order of first appearance."""
        raise NotImplementedError(f"{cls.__name__} has a fit of its own")

    @classmethod
    def select(cls, counted: Mapping[str, int], vocab_size: int | None, min_count: int) -> list[str]:
        """The pieces that become types, in the order of their ids."""
        kept = [
            piece
            for piece in sorted(counted, key=counted.__getitem__, reverse=True)
            if piece not in cls.reserved and (counted[piece] >= min_count or piece == cls.line_end)
        ]
        if vocab_size is not None:
            kept = kept[: vocab_size - len(cls.reserved)]
        if cls.line_end not in cls.reserved and cls.line_end not in kept:
            full = vocab_size is not None and len(cls.reserved) + len(kept) == vocab_size
            kept[len(kept) - full :] = [cls.line_end]
        return [*cls.reserved, *kept]

    @abstractmethod
    def pieces(self, text: str) -> list[str]:
        """What one string falls into, before the vocabulary is asked."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """text -> ids (tokens,) int32."""

    @abstractmethod
    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text, unknowns as `<unk>`.  Raises InputError for an id outside the vocabulary."""

    def writer(self) -> Writer:
        """Something that decodes ids one by one."""
        return Writer(self)

    def checked(self, ids: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The ids as one flat array.  Raises InputError for an id outside the vocabulary."""
        flat = np.asarray(ids, dtype=np.int64).ravel()
        outside = flat[(flat < 0) | (flat >= len(self))]
        if outside.size:
            raise InputError(f"id {outside[0]} is not in the vocabulary; give 0 to {len(self) - 1}")
        return flat

    def counting(self, text: str | Iterable[str]) -> Self:
        """The tokenizer itself, its counts now those of this text."""
        self.counts = np.zeros(len(self), np.int64)
        for part in self.parts(text):
            self.counts += np.bincount(self.encode(part), minlength=len(self))
        return self

    def rules(self) -> dict[str, Any]:
        """What decides which ids a text gets: two tokenizers that agree in this are the same but for the text they have seen."""
        return {key: value for key, value in self.to_dict().items() if key not in ("counts", "min_count")}

    def piece(self, i: int) -> str:
        """The printable form of one id: a blank as ␣, what does not print as its escape."""
        return visible(self.vocabulary[i])

    def __len__(self) -> int:
        return len(self.vocabulary)

    def to_dict(self) -> dict[str, Any]:
        """All of the tokenizer, as JSON can hold it."""
        return {
            "name": self.name,
            "vocabulary": list(self.vocabulary),
            "counts": self.counts.tolist(),
            "lowercase": self.lowercase,
            "min_count": self.min_count,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer that `to_dict` wrote.  Raises InputError if it is another's or lacks a part."""
        if saved.get("name") != cls.name:
            raise InputError(f"a saved tokenizer named {saved.get('name')!r} is not a {cls.name} tokenizer")
        if missing := [field for field in cls.fields if field not in saved]:
            raise InputError(f"a saved {cls.name} tokenizer lacks its {' and '.join(missing)}; fit it again")
        return cls(**{field: saved[field] for field in cls.fields})
