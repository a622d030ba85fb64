"""Characters: one id per Unicode code point."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.errors import InputError
from nlmcli.text.tokenizer import UNKNOWN, Ids, Tokenizer

CHUNK = 1 << 16  # characters; small enough that code points and ids stay in the CPU cache
CODE_POINTS = 0x110000


def code_points(text: str) -> npt.NDArray[Any]:
    """text -> its code points (characters,), uint8 for ASCII, else uint32; lone surrogates count as characters."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


# Typographic punctuation and its ASCII equivalents, which Unicode does not treat as compatible.
ASCII_PUNCTUATION = str.maketrans(
    {"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-", "−": "-"}
)


def similar_forms(character: str) -> Iterator[str]:
    """Substitutes for a character, most similar first: NFKC, NFKD, without combining marks; each also in lower and upper case."""
    decomposed = unicodedata.normalize("NFKD", character.translate(ASCII_PUNCTUATION))
    unmarked = "".join(c for c in decomposed if not unicodedata.combining(c))
    for form in (unicodedata.normalize("NFKC", character), decomposed, unmarked):
        yield from (form, form.lower(), form.upper())


class Char(Tokenizer):
    """Tokens are code points, including the line break."""

    name: ClassVar[str] = "char"
    line_end: ClassVar[str] = "\n"
    reserved: ClassVar[tuple[str, ...]] = (UNKNOWN,)

    def __init__(self, vocabulary: Iterable[str], counts: npt.ArrayLike, *, lowercase: bool = False, min_count: int = 1) -> None:
        """Raises InputError for a token that is not one character."""
        super().__init__(vocabulary, counts, lowercase=lowercase, min_count=min_count)
        if wrong := [piece for piece in self.vocabulary[1:] if len(piece) != 1]:
            raise InputError(f"a char vocabulary must contain single characters, not {wrong[0]!r}; fit the tokenizer again")
        known = [ord(piece) for piece in self.vocabulary[1:]]
        # The last element is the id of all code points above the largest known one.
        self._ids = np.zeros(max(known) + 2, np.int32)
        self._ids[known] = np.arange(1, len(self), dtype=np.int32)

    @classmethod
    def count(cls, parts: Iterable[str]) -> Mapping[str, int]:
        """The count of each character in the parts of a text, in order of first occurrence."""
        counts = np.zeros(CODE_POINTS, np.int64)
        order: list[int] = []
        for part in map(code_points, parts):
            new = part[counts[part] == 0]
            distinct, first = np.unique(new, return_index=True)
            order += distinct[np.argsort(first)].tolist()
            part_counts = np.bincount(part)
            counts[: len(part_counts)] += part_counts
        return {chr(code): int(counts[code]) for code in order}

    def nearest(self, character: str) -> str:
        """The known characters most similar to an unknown one, by Unicode normalization; empty if there are none."""
        return next((form for form in similar_forms(character) if form and all(c in self.index for c in form)), "")

    def pieces(self, text: str) -> list[str]:
        """The characters of the text."""
        return list(text.lower() if self.lowercase else text)

    def encode(self, text: str) -> Ids:
        """text -> ids (characters,) int32."""
        text = text.lower() if self.lowercase else text
        ids = np.empty(len(text), np.int32)
        for start in range(0, len(text), CHUNK):
            part = code_points(text[start : start + CHUNK])
            self._ids.take(part, mode="clip", out=ids[start : start + CHUNK])
        return ids

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text."""
        return "".join([self.vocabulary[i] for i in self.check_ids(ids)])
