"""The base class of all tokenizers: a vocabulary, its counts, encoding and decoding."""

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
CHUNK = 1 << 20  # characters; the tokens of a long text are never in memory all at once

# Where a text may be cut: each pattern matches up to the last valid position.
AFTER_WHITESPACE = re.compile(r"(?s:.*)\s")
AFTER_LINE_END = re.compile(r"(?s:.*)\n")


def cut(text: str | Iterable[str], at: re.Pattern[str], size: int = CHUNK) -> Iterator[str]:
    """The text, or the concatenated parts, in chunks of about `size` characters, cut only where the pattern `at` allows it."""
    pending: list[str] = []
    for part in sliced(text, size):
        if pending and (match := at.match(pending[-1])):
            last = pending.pop()
            yield "".join([*pending, last[: match.end()]])
            pending = [last[match.end() :]]
        pending.append(part)
    if pending:
        yield "".join(pending)


def sliced(text: str | Iterable[str], size: int) -> Iterator[str]:
    """The text, or each of the parts, in slices of at most `size` characters."""
    for part in [text] if isinstance(text, str) else text:
        for start in range(0, len(part), size):
            yield part[start : start + size]


def visible(piece: str) -> str:
    """Printable form: a space as ␣, a byte of an incomplete character (PEP 383) as <0xE8>, other non-printable characters escaped."""
    return "".join(c if c.isprintable() else escape(c) for c in piece.replace(" ", "␣"))


def escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"<0x{ord(character) - 0xDC00:02X}>"
    return character.encode("unicode_escape").decode()


class DecodeStream:
    """Ids one by one -> text: the results of `add`, then `rest`, concatenate to what `decode` returns for all ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def add(self, i: int) -> str:
        """The text that this id adds."""
        return self.tokenizer.vocabulary[i]

    def rest(self) -> str:
        """The text still pending after the last id."""
        return ""

    def copy(self) -> DecodeStream:
        """An independent stream in the same state."""
        return copy.copy(self)


class Tokenizer(ABC):
    """A map from text to token ids; id i is the token `vocabulary[i]`, which occurs `counts[i]` times in the training text.

    `counts` sums to the number of tokens in the training text: those outside the vocabulary count as `unknown`.
    `newline` is the id of the end of line. `start` is the first input of a model, before a text: the end of line too, unless the
    tokenizer comes from elsewhere and has a token of its own for it.
    """

    name: ClassVar[str]
    line_end: ClassVar[str]  # the token of `newline`; always in the vocabulary
    reserved: ClassVar[tuple[str, ...]] = ()  # the tokens with the first ids
    cut_at: ClassVar[re.Pattern[str]] = AFTER_WHITESPACE  # where a text may be cut without changing its tokens
    default_min_count: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("vocabulary", "counts", "lowercase", "min_count")  # saved keys
    learned: ClassVar[bool] = False  # whether the segmentation depends on the training text

    vocabulary: list[str]
    counts: npt.NDArray[np.int64]
    unknown: int | None
    newline: int
    start: int
    lowercase: bool
    min_count: int

    def __init__(self, vocabulary: Iterable[str], counts: npt.ArrayLike, *, lowercase: bool = False, min_count: int = 1) -> None:
        """Raises InputError if vocabulary and counts do not match."""
        self.vocabulary = list(vocabulary)
        self.counts = np.asarray(counts, dtype=np.int64)
        self.lowercase, self.min_count = bool(lowercase), int(min_count)
        self.index = {piece: i for i, piece in enumerate(self.vocabulary)}
        if self.counts.shape != (len(self.index),) or len(self.index) != len(self.vocabulary):
            raise InputError(
                f"a vocabulary of {len(self.vocabulary)} tokens, {len(self.index)} of them distinct, "
                f"does not match {self.counts.size} counts; fit the tokenizer again"
            )
        first = tuple(self.vocabulary[: len(self.reserved)])
        if first != self.reserved or self.line_end not in self.index:
            raise InputError(
                f"a {self.name} vocabulary must contain {self.line_end!r} and begin with {self.reserved}, not {first}; "
                "fit the tokenizer again"
            )
        self.unknown = self.index.get(UNKNOWN) if UNKNOWN in self.reserved else None
        self.newline = self.start = self.index[self.line_end]

    @classmethod
    def fit(
        cls,
        text: str | Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int | None = None,
        lowercase: bool = False,
    ) -> Tokenizer:
        """A tokenizer with the types of the text, or of the concatenated parts, by descending frequency, ties by first occurrence.

        vocab_size limits all types, reserved ones included; a type that occurs less than min_count times
        (None: the tokenizer's default) is unknown.  Raises InputError for a limit that is too small.
        """
        min_count = cls.default_min_count if min_count is None else min_count
        cls.check_bounds(vocab_size, min_count)
        all_counts = cls.count(cls.parts(text, lowercase))
        vocabulary = cls.select(all_counts, vocab_size, min_count)
        counts = np.array([all_counts.get(piece, 0) for piece in vocabulary], dtype=np.int64)
        counts[0] += sum(all_counts.values()) - counts.sum()
        return cls(vocabulary, counts, lowercase=lowercase, min_count=min_count)

    @classmethod
    def parts(cls, text: str | Iterable[str], lowercase: bool = False) -> Iterator[str]:
        """The text, or the concatenated parts, in chunks whose encodings concatenate to that of the whole."""
        for part in cut(text, cls.cut_at, CHUNK):
            # Lowercasing depends on neighbors within a word only (final sigma), so chunks give the same result.
            yield part.lower() if lowercase else part

    @classmethod
    def check_bounds(cls, vocab_size: int | None, min_count: int) -> None:
        """Raises InputError for limits that allow no vocabulary."""
        if min_count < 1:
            raise InputError(f"min-count {min_count} is too small; give 1 or more")
        least = len({*cls.reserved, cls.line_end})
        if vocab_size is not None and vocab_size < least:
            raise InputError(f"vocab-size {vocab_size} is too small for the {cls.name} tokenizer; give {least} or more")

    @classmethod
    def count(cls, parts: Iterable[str]) -> Mapping[str, int]:
        """The count of each type in the parts of a text, in order of first occurrence."""
        raise NotImplementedError(f"{cls.__name__} overrides fit")

    @classmethod
    def select(cls, counts: Mapping[str, int], vocab_size: int | None, min_count: int) -> list[str]:
        """The vocabulary, in the order of the ids."""
        kept = [
            piece
            for piece in sorted(counts, key=counts.__getitem__, reverse=True)
            if piece not in cls.reserved and (counts[piece] >= min_count or piece == cls.line_end)
        ]
        if vocab_size is not None:
            kept = kept[: vocab_size - len(cls.reserved)]
        if cls.line_end not in cls.reserved and cls.line_end not in kept:
            full = vocab_size is not None and len(cls.reserved) + len(kept) == vocab_size
            kept[len(kept) - full :] = [cls.line_end]
        return [*cls.reserved, *kept]

    @abstractmethod
    def pieces(self, text: str) -> list[str]:
        """The tokens of a text as strings, before the vocabulary lookup."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """text -> ids (tokens,) int32."""

    @abstractmethod
    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text; the unknown token is `<unk>`.  Raises InputError for an id outside the vocabulary."""

    def writer(self) -> DecodeStream:
        """A stream that decodes ids one by one."""
        return DecodeStream(self)

    def check_ids(self, ids: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The ids as a flat array.  Raises InputError for an id outside the vocabulary."""
        flat = np.asarray(ids, dtype=np.int64).ravel()
        outside = flat[(flat < 0) | (flat >= len(self))]
        if outside.size:
            raise InputError(f"id {outside[0]} is not in the vocabulary; give 0 to {len(self) - 1}")
        return flat

    def recount(self, text: str | Iterable[str]) -> Self:
        """Replace the counts by those of this text.  -> self"""
        self.counts = np.zeros(len(self), np.int64)
        for part in self.parts(text):
            self.counts += np.bincount(self.encode(part), minlength=len(self))
        return self

    def rules(self) -> dict[str, Any]:
        """Everything that determines the ids of a text: tokenizers with equal rules encode every text the same way."""
        return {key: value for key, value in self.to_dict().items() if key not in ("counts", "min_count")}

    def piece(self, i: int) -> str:
        """The printable form of one token: a space as ␣, non-printable characters escaped."""
        return visible(self.vocabulary[i])

    def unknown_rate(self) -> float:
        """The fraction of the tokens of the training text that are <unk>."""
        return float(self.counts[self.unknown] / max(1, self.counts.sum())) if self.unknown is not None else 0.0

    def __len__(self) -> int:
        return len(self.vocabulary)

    def to_dict(self) -> dict[str, Any]:
        """The complete tokenizer as JSON-serializable data."""
        return {
            "name": self.name,
            "vocabulary": list(self.vocabulary),
            "counts": self.counts.tolist(),
            "lowercase": self.lowercase,
            "min_count": self.min_count,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer saved by `to_dict`.  Raises InputError if it is of another class or incomplete."""
        if saved.get("name") != cls.name:
            raise InputError(f"a saved tokenizer named {saved.get('name')!r} is not a {cls.name} tokenizer")
        if missing := [field for field in cls.fields if field not in saved]:
            raise InputError(f"a saved {cls.name} tokenizer lacks its {' and '.join(missing)}; fit it again")
        return cls(**{field: saved[field] for field in cls.fields})
