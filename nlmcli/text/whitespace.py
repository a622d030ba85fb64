"""Text that is tokenised already: its tokens stand between blanks, one sentence or paragraph on a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nlmcli.text.tokenizer import UNKNOWN, Ids, Tokenizer, Writer, chunks

END = "<eos>"


def strings(part: str) -> list[str]:
    """What stands between blanks, and `<eos>` for each line end."""
    return part.replace("\n", f" {END} ").split()


class Memory(dict[str, tuple[int, ...]]):
    """The ids of the strings met so far: few strings make up most of a text, so most are looked up."""

    MOST = 1 << 18  # strings remembered
    LONGEST = 64  # characters; longer ones (a paragraph of Chinese) seldom come again

    def __init__(self, tokenizer: Whitespace) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, string: str) -> tuple[int, ...]:
        index, unknown = self.tokenizer.index, self.tokenizer.index[UNKNOWN]
        ids = tuple(index.get(piece, unknown) for piece in self.tokenizer.split(string))
        if len(self) >= self.MOST:
            self.clear()
        if len(string) <= self.LONGEST:
            self[string] = ids
        return ids


class TokenWriter(Writer):
    """One blank between tokens, none around a line break."""

    last = END

    def add(self, i: int) -> str:
        piece, before = self.tokenizer.vocabulary[i], self.last
        self.last = piece
        return "\n" if piece == END else piece if before == END else f" {piece}"


class Whitespace(Tokenizer):
    """Tokens are what stands between blanks. A line end is `<eos>`; a literal `<unk>` is the unknown type."""

    name: ClassVar[str] = "whitespace"
    line_end: ClassVar[str] = END
    reserved: ClassVar[tuple[str, ...]] = (UNKNOWN, END)

    def __init__(self, vocabulary: Iterable[str], counts: npt.ArrayLike, *, lowercase: bool = False, min_count: int = 1) -> None:
        super().__init__(vocabulary, counts, lowercase=lowercase, min_count=min_count)
        self._memory = Memory(self)

    @classmethod
    def split(cls, string: str) -> list[str]:
        """The pieces of one string without blanks: here the string itself."""
        return [string]

    @classmethod
    def count(cls, parts: Iterable[str]) -> Mapping[str, int]:
        """How often each piece stands in the parts; each distinct string of a part is split once."""
        counted: Counter[str] = Counter()
        for part in parts:
            for string, times in Counter(strings(part)).items():
                for piece in cls.split(string):
                    counted[piece] += times
        return counted

    def pieces(self, text: str) -> list[str]:
        """What the text falls into; a line end is `<eos>`."""
        return [piece for part in chunks(text, self.lowercase) for string in strings(part) for piece in self.split(string)]

    def encode(self, text: str) -> Ids:
        """text -> ids (tokens,) int32, part by part so that memory stays bounded."""
        ids = [np.empty(0, np.int32)]
        for part in chunks(text, self.lowercase):
            found = map(self._memory.__getitem__, strings(part))
            ids.append(np.fromiter(chain.from_iterable(found), np.int32))
        return np.concatenate(ids)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """ids -> text with one blank between tokens; `<eos>` is a line break without blanks around it."""
        return self.join([self.vocabulary[i] for i in self.checked(ids)])

    def writer(self) -> Writer:
        return TokenWriter(self)

    @classmethod
    def join(cls, pieces: Sequence[str]) -> str:
        """Pieces -> running text."""
        lines = " ".join("\n" if piece == END else piece for piece in pieces)
        return lines.replace(" \n", "\n").replace("\n ", "\n")
