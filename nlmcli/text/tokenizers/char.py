"""Characters: one id per Unicode code point."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.errors import InputError
from nlmcli.text.tokenizer import UNKNOWN, Ids, Tokenizer

CHUNK = 1 << 16  # characters; small enough that codes and ids stay in the processor's cache
CODE_POINTS = 0x110000


def codes(text: str) -> npt.NDArray[Any]:
    """text -> its code points (characters,), as bytes where they fit; lone surrogates are characters too."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


# Marks of print and what a typewriter has for them; Unicode does not count them as the same character.
TYPEWRITER = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-", "−": "-"})


def relatives(character: str) -> Iterator[str]:
    """What may stand for a character, the nearest first: compatible forms, without its marks, in the other case."""
    plain = unicodedata.normalize("NFKD", character.translate(TYPEWRITER))
    unmarked = "".join(c for c in plain if not unicodedata.combining(c))
    for form in (unicodedata.normalize("NFKC", character), plain, unmarked):
        yield from (form, form.lower(), form.upper())


class Char(Tokenizer):
    """Tokens are code points, the line break among them."""

    name: ClassVar[str] = "char"
    line_end: ClassVar[str] = "\n"
    reserved: ClassVar[tuple[str, ...]] = (UNKNOWN,)

    def __init__(self, vocabulary: Iterable[str], counts: npt.ArrayLike, *, lowercase: bool = False, min_count: int = 1) -> None:
        """Raises InputError for a piece that is not one character."""
        super().__init__(vocabulary, counts, lowercase=lowercase, min_count=min_count)
        if wrong := [piece for piece in self.vocabulary[1:] if len(piece) != 1]:
            raise InputError(f"a char vocabulary holds characters, not {wrong[0]!r}; fit the tokenizer again")
        known = [ord(piece) for piece in self.vocabulary[1:]]
        # The last place stands for every code point above the largest known one.
        self._ids = np.zeros(max(known) + 2, np.int32)
        self._ids[known] = np.arange(1, len(self), dtype=np.int32)

    @classmethod
    def count(cls, parts: Iterable[str]) -> Mapping[str, int]:
        """How often each character stands in the parts of a text, in order of first appearance."""
        counts = np.zeros(CODE_POINTS, np.int64)
        appeared: list[int] = []
        for part in map(codes, parts):
            new = part[counts[part] == 0]
            found, first = np.unique(new, return_index=True)
            appeared += found[np.argsort(first)].tolist()
            seen = np.bincount(part)
            counts[: len(seen)] += seen
        return {chr(code): int(counts[code]) for code in appeared}

    def nearest(self, character: str) -> str:
        """The known characters nearest to an unknown one, by Unicode's normal forms; empty where there are none."""
        return next((form for form in relatives(character) if form and all(c in self.index for c in form)), "")

    def pieces(self, text: str) -> list[str]:
        """The characters of the text."""
        return list(text.lower() if self.lowercase else text)

    def encode(self, text: str) -> Ids:
        """text -> ids (characters,) int32."""
        text = text.lower() if self.lowercase else text
        ids = np.empty(len(text), np.int32)
        for start in range(0, len(text), CHUNK):
            part = codes(text[start : start + CHUNK])
            self._ids.take(part, mode="clip", out=ids[start : start + CHUNK])
        return ids

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text."""
        return "".join([self.vocabulary[i] for i in self.checked(ids)])
